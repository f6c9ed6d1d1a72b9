#include "launcher/train_command.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <system_error>

#include "core/base/clock.h"
#include "launcher/shared_config.h"
#include "launcher/stop_signals.h"
#include "launcher/world.h"
#include "parallel/communicator/mpi_communicator.h"
#include "runtime/report/console.h"
#include "runtime/run_config.h"
#include "runtime/trainer/training_run.h"

namespace hetmoe {
namespace {

/// Open MPI gives every rank a pseudo-terminal as standard output, so a rank cannot tell from its
/// own stream whether a person is watching: what its launcher writes to does.
bool shows_live_line() {
  if (!is_live_terminal(stdout)) return false;
  if (!MpiRuntime::is_launched()) return true;
  std::error_code error;
  const auto target =
      std::filesystem::read_symlink("/proc/" + std::to_string(getppid()) + "/fd/1", error);
  const std::string path = target.string();
  return !error && (path.starts_with("/dev/pts/") || path.starts_with("/dev/tty"));
}

void train(const TrainOptions& options, Communicator& world) {
  RunConfig config = load_shared_config(world, options.config_path, [&] {
    return load_run_config(options.config_path, options.settings);
  });
  const SystemClock clock;
  TrainingRequest request{.config = std::move(config),
                          .config_name = std::filesystem::path(options.config_path).stem().string(),
                          .run_directory = {},
                          .resume = options.resume,
                          .init = options.init,
                          .profile_steps = options.profile_steps,
                          .world = world,
                          .clock = clock,
                          .out = stdout,
                          .terminal = shows_live_line(),
                          .stop_requested = stop_requested};
  if (!options.run_dir.empty()) request.run_directory = options.run_dir;
  run_training(request);
}

}  // namespace

int run_train_command(const TrainOptions& options) {
  take_stop_signals();
  return run_on_world([&](Communicator& world) { train(options, world); });
}

}  // namespace hetmoe
