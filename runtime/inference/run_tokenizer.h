#pragma once

#include <memory>
#include <string>

#include "core/data/tokenizer.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// The tokenizer of the text that a run was trained on: what the sidecar of data.train names (of a
/// pattern or a mixture: of its first shard), its file as tokenizer.model or tokenizer.json beside
/// the shard, with the digest and the end of documents of the sidecar. `given` (as make_tokenizer
/// takes it) is taken instead if it is not empty.
/// Starts a process, unless for bytes: not after MPI_Init.
/// Errors: ConfigError where no tokenizer is known (random tokens, a shard without a sidecar) or
/// its vocabulary is larger than the model's; StorageError for a missing or different model.
std::unique_ptr<Tokenizer> tokenizer_of_run(const RunConfig& config, const std::string& given);

}  // namespace hetmoe
