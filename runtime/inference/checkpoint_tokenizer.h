#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/data/tokenizer.h"

namespace hetmoe {

/// tokenizer_of_run (run_tokenizer.h) for the run that saved a checkpoint. `path`, `settings`: as
/// LoadedModel takes them. Reads the manifest only. Starts a process for SentencePiece: not after
/// MPI_Init. Errors: those of tokenizer_of_run and config_of_checkpoint; StorageError for a path
/// without a checkpoint.
std::unique_ptr<Tokenizer> tokenizer_of_checkpoint(const std::string& path,
                                                   const std::vector<std::string>& settings,
                                                   const std::string& given);

}  // namespace hetmoe
