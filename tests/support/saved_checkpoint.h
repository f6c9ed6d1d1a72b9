#pragma once

#include <filesystem>

#include "core/model/parameter_store.h"
#include "runtime/run_config.h"

namespace hetmoe::test {

struct CheckpointToSave {
  const RunConfig& config;
  ParameterStore& parameters;  ///< of the whole model, fp32, every expert in one slice
  std::int64_t step = 1;
  int files = 1;  ///< each tensor's rows are cut over them, some unevenly, some not at all
};

/// Writes a committed checkpoint without moments into RUN_DIR/checkpoints, as one process: what a
/// run of `files` ranks might have left. Gives its folder. Not collective.
std::filesystem::path save_checkpoint(const std::filesystem::path& run_directory,
                                      const CheckpointToSave& checkpoint);

}  // namespace hetmoe::test
