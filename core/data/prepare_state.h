#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/data/corpus_reader.h"
#include "core/data/split_writer.h"

namespace hetmoe {

/// What the result of a preparation depends on, as text by name.
using PrepareCommand = std::map<std::string, std::string>;

/// "seed 1, now 2" of the first name that differs; "" where none does.
std::string first_difference(const PrepareCommand& before, const PrepareCommand& now);

/// A point from which an interrupted preparation goes on. Everything that it tells of lies in files
/// that were synced before it was written.
struct PrepareState {
  enum class Stage {
    kTokenizer,  ///< trained; no text is encoded
    kEncoding,   ///< encoded up to `position`
    kSealed,     ///< all is written; only names are missing
  };
  Stage stage = Stage::kEncoding;
  PrepareCommand command;
  std::vector<std::string> tokenizer_files;  ///< names; none: the tokenizer is bytes
  std::string files_digest;                  ///< of what is in them
  std::int64_t vocab_size = 0;
  CorpusPosition position;
  std::int64_t skipped_lines = 0;
  SplitReached reached;
};

std::string to_json(const PrepareState& state);

/// Errors: StorageError naming the file and what is wrong with it.
PrepareState read_prepare_state(const std::string& path);

}  // namespace hetmoe
