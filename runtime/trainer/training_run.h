#pragma once

#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "parallel/communicator/communicator.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// What `hetmoe train` asks for.
struct TrainingRequest {
  RunConfig config;
  std::string config_name;                             ///< names the run directory
  std::optional<std::filesystem::path> run_directory;  ///< none: a new one is made and printed
  /// auto: on from the run directory's newest checkpoint that verifies, if it has one; never; or
  /// the path of a checkpoint or run directory.
  std::string resume = "auto";
  /// A checkpoint or run directory whose weights, and nothing else, a run takes that does not go
  /// on; empty: none. Not with a path in `resume`.
  std::string init;
  std::int64_t profile_steps = 0;  ///< how many to profile; 0: none
  Communicator& world;
  const Clock& clock;
  std::FILE* out = nullptr;  ///< where rank 0 tells people
  bool terminal = false;     ///< `out` ends at one: show a live line
  /// Asked after every step: whether this rank was told to stop. Empty: never.
  std::function<bool()> stop_requested;
};

/// Trains to the last step, from the first or from a checkpoint. When a rank is told to stop, all
/// save and throw an AgreedError of code 75. Collective over the world.
/// Errors: AgreedError, thrown by every rank; any other Error concerns this rank alone, and the
/// caller must abort the world so that the others do not wait. exit.json is written either way.
void run_training(const TrainingRequest& request);

}  // namespace hetmoe
