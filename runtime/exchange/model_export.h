#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint_reader.h"
#include "runtime/exchange/external_class.h"
#include "runtime/exchange/tokenizer_files.h"
#include "runtime/run_config.h"

namespace hetmoe {

enum class ExportType : std::uint8_t { kFp32, kBf16 };

inline constexpr std::int64_t kLeastShardBytes = 1000;

struct ExportOptions {
  std::filesystem::path out;
  ExportLayout layout = ExportLayout::kAuto;
  ExportType type = ExportType::kFp32;
  std::int64_t most_shard_bytes = 5'000'000'000;  ///< a larger tensor gets a file of its own
  std::string tokenizer;  ///< as `generate --tokenizer`; empty: that of the run's text
  bool replace = false;   ///< see NewFolder
};

struct ExportedModel {
  ExternalClass external = ExternalClass::kHetmoe;
  std::int64_t parameters = 0;         ///< of the checkpoint
  std::int64_t stored_parameters = 0;  ///< zeros of padding included
  std::int64_t bytes = 0;              ///< of all tensors
  std::vector<std::string> files;      ///< that hold them
  ExportedTokenizer tokenizer;
};

/// Writes a folder that transformers loads: weights (with an index where there are several files),
/// config.json, generation_config.json, the tokenizer's files, for a class of our own its code.
/// `config`: of the run that saved `checkpoint`. Memory: twice the largest tensor. Blocking: the
/// disk. The folder appears whole or not at all.
/// Errors: ConfigError where no class computes the model, StorageError for the rest.
ExportedModel export_model(CheckpointReader& checkpoint, const RunConfig& config,
                           const ExportOptions& options);

}  // namespace hetmoe
