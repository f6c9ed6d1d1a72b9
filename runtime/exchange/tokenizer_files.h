#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runtime/run_config.h"

namespace hetmoe {

struct ExportedTokenizer {
  std::vector<std::string> files;  ///< empty: none
  std::string note;                ///< for a person, one line; empty: AutoTokenizer loads it
  std::optional<std::int32_t> begin_token, end_token;
};

/// Writes into `folder` what AutoTokenizer needs: the files of a tokenizer that lie beside the
/// run's shard, a SentencePiece model's also as tokenizer.json, and the byte tokenizer's.
/// `given`: "bytes" or the path of a model, instead; empty: that of data.train. That there is none
/// (random tokens, a shard without a sidecar) is no error. Errors: StorageError that names the
/// file, also for a model that is not the one of the shard.
ExportedTokenizer write_tokenizer_files(const RunConfig& config, const std::string& given,
                                        const std::filesystem::path& folder);

/// Copies the files of a tokenizer, by the names that transformers gives them. Gives those found.
std::vector<std::string> copy_tokenizer_files(const std::filesystem::path& from,
                                              const std::filesystem::path& folder);

}  // namespace hetmoe
