#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hetmoe {

struct TrainOptions {
  std::string config_path;
  std::vector<std::string> settings;  ///< "a.b=c", applied in order after the file
  std::string run_dir;                ///< empty: a new folder under runs/
  std::string resume = "auto";        ///< or never, or the path of a checkpoint
  std::int64_t profile_steps = 0;     ///< 0: none
  std::string init;                   ///< checkpoint or run directory; not with a path in resume
};

/// `hetmoe train`: one rank of a training run, alone or under mpirun or srun. Gives the exit code.
/// Collective: every rank of the world calls it with the same options. Blocking: until the run
/// ends. Errors: those of core/base/error.h.
int run_train_command(const TrainOptions& options);

}  // namespace hetmoe
