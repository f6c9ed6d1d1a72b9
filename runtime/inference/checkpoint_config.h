#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/run_config.h"

namespace hetmoe {

/// The configuration of the run that saved a checkpoint, as its manifest holds it, for other ranks
/// than those that saved: one expert group, unless a setting says otherwise. `settings` are
/// "parallel.key=value" and "train.precision=NAME" (to compare with programs that compute in fp32);
/// anything else is refused, for it would make another model of it.
/// Errors: StorageError for a configuration that this program does not read, ConfigError for
/// settings.
RunConfig config_of_checkpoint(const std::string& yaml, const std::filesystem::path& checkpoint,
                               const std::vector<std::string>& settings);

}  // namespace hetmoe
