#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/data/token_source.h"

namespace hetmoe {

/// The shards that a name stands for, in the order of their bytes: PREFIXes of Megatron's pairs and
/// paths of single files. A name is the PREFIX of a pair (or its .idx or .bin), the path of a file,
/// or a pattern with *, ? or [...] of either. Which files exist and what they begin with decides,
/// never an ending alone. Errors: StorageError naming what was looked for.
std::vector<std::string> shard_names(const std::string& name);

/// Opens what a name stands for; several shards as one corpus.
/// Errors: StorageError, ConfigError (shards of different tokenizers).
std::shared_ptr<const TokenSource> open_token_source(const std::string& name);

}  // namespace hetmoe
