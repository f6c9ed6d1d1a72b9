#include "launcher/train_command.h"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <system_error>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "launcher/error_text.h"
#include "parallel/agreement.h"
#include "parallel/communicator/local_communicator.h"
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
  RunConfig config;
  collectively(world, [&] { config = load_run_config(options.config_path, options.settings); });
  const std::string resolved = resolved_yaml(config);
  const std::string of_first = broadcast_text(world, resolved, 0);
  collectively(world, [&] {
    if (resolved != of_first) {
      throw ConfigError(options.config_path +
                        ": not the same configuration as on rank 0: all ranks must read one file");
    }
  });
  const SystemClock clock;
  TrainingRequest request{.config = std::move(config),
                          .config_name = std::filesystem::path(options.config_path).stem().string(),
                          .run_directory = {},
                          .world = world,
                          .clock = clock,
                          .out = stdout,
                          .terminal = shows_live_line()};
  if (!options.run_dir.empty()) request.run_directory = options.run_dir;
  run_training(request);
}

/// An error of this rank alone: the others wait in a collective, so the whole job must end.
int abort_job(Communicator& world, const std::string& message, ExitCode code) {
  if (world.size() == 1) {
    print_error(message);
    return static_cast<int>(code);
  }
  print_error("rank " + std::to_string(world.rank()) + ": " + message);
  world.abort(message, static_cast<int>(code));
  return static_cast<int>(code);  // never reached; the compiler does not see through the seam
}

/// The code is agreed: rank 0 ends with it, the others with 0.
int train_on(const TrainOptions& options, Communicator& world) {
  try {
    train(options, world);
    return 0;
  } catch (const AgreedError& error) {
    if (world.rank() != 0) return 0;
    print_error(error.what());
    return static_cast<int>(error.exit_code());
  } catch (const Error& error) {
    return abort_job(world, error.what(), error.exit_code());
  } catch (const std::exception& error) {
    return abort_job(world, describe(error), ExitCode::kInternal);
  }
}

}  // namespace

int run_train_command(const TrainOptions& options) {
  if (!MpiRuntime::is_launched()) {
    LocalWorld world(1);
    return train_on(options, *world.communicator(0));
  }
  int argument_count = 0;
  char** arguments = nullptr;
  MpiRuntime runtime(argument_count, arguments);
  const auto world = runtime.world();
  return train_on(options, *world);
}

}  // namespace hetmoe
