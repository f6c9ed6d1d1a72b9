#include "launcher/launch_command.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "launcher/error_text.h"
#include "launcher/init_option.h"
#include "launcher/launch_options.h"
#include "launcher/settings_option.h"
#include "launcher/supervise.h"
#include "launcher/surroundings.h"
#include "parallel/communicator/mpi_communicator.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/metrics/run_name.h"
#include "runtime/run_config.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

/// A folder that cannot be read has made no progress that anyone could go on from.
std::optional<std::int64_t> newest_committed_step(const fs::path& run_directory) {
  std::optional<std::int64_t> newest;
  try {
    for (const SavedStep& saved : CheckpointFolder(run_directory / "checkpoints").steps()) {
      if (saved.committed) newest = saved.step;
    }
  } catch (const StorageError& error) {
    print_error(error.what());
  }
  return newest;
}

int run_launch_command(LaunchOptions options) {
  if (MpiRuntime::is_launched()) {
    throw ConfigError("hetmoe launch starts mpirun itself: call it without mpirun or srun");
  }
  load_run_config(options.config_path, options.settings);  // faults are better named here, once
  if (options.run_dir.empty()) {
    const std::string config_name = fs::path(options.config_path).stem().string();
    options.run_dir = (fs::path("runs") / new_run_name(config_name, SystemClock())).string();
  }
  const Surroundings surroundings = find_surroundings();
  if (options.dry_run) {
    const AttemptShape first{.ranks = options.ranks, .hosts = {}, .resume = options.resume};
    std::cout << shell_line(mpirun_command(options, surroundings, first)) << '\n';
    return 0;
  }
  return supervise(options, surroundings,
                   {.newest_committed =
                        [path = fs::path(options.run_dir)] { return newest_committed_step(path); },
                    .answering_hosts = probe_by_ssh});
}

void add_hosts(CLI::App& command, LaunchOptions& options) {
  auto* hostfile = command
                       .add_option("--hostfile", options.hostfile,
                                   "Hosts to start ranks on (default: this one, or those of the "
                                   "batch job)")
                       ->type_name("FILE")
                       ->check(CLI::ExistingFile);
  auto* rankfile =
      command.add_option("--rankfile", options.rankfile, "Open MPI's place of each rank")
          ->type_name("FILE")
          ->check(CLI::ExistingFile);
  command
      .add_flag(
          "--shrink", options.shrink,
          "On a restart leave out hosts that ssh does not reach, with their ranks; every line "
          "of the hostfile then needs slots=N")
      ->needs(hostfile)
      ->excludes(rankfile);
  command
      .add_option("--mpirun-option", options.mpirun_options,
                  "One more word for mpirun, as in --mpirun-option=--mca; may be repeated")
      ->type_name("WORD")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
}

void add_limits(CLI::App& command, RestartLimits& limits) {
  command.add_option("--max-restarts", limits.restarts, "Restarts in all (default: 10)")
      ->type_name("N")
      ->check(CLI::Range(0, 1 << 20));
  command
      .add_option("--max-stalled-restarts", limits.stalled_restarts,
                  "Restarts in a row that save no new step, then 93 (default: 2)")
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
  command
      .add_option("--first-wait", limits.first_wait_seconds,
                  "Seconds before a restart, doubled up to 60 while no new step is saved "
                  "(default: 1)")
      ->type_name("S")
      ->check(CLI::Range(0.0, limits.longest_wait_seconds));
}

void add_run(CLI::App& command, LaunchOptions& options) {
  add_settings(command, options.settings);
  command
      .add_option("--run-dir", options.run_dir,
                  "Folder for the files of this run (default: a new one under runs/)")
      ->type_name("DIR");
  command
      .add_option("--resume", options.resume,
                  "What the first attempt continues; restarts continue what DIR holds")
      ->type_name("auto|never|PATH");
  add_init(command, options.init, options.resume);
  command.add_flag("--requeue", options.requeue,
                   "End with 75 (run me again), not 93, when the run is stopped from outside");
  command.add_flag("--dry-run", options.dry_run, "Print mpirun's line and exit");
}

}  // namespace

void add_launch(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand(
      "launch", "Train under mpirun, restarted from the last checkpoint when a rank is lost");
  auto options = std::make_shared<LaunchOptions>();
  command->add_option("CONFIG", options->config_path, "Configuration file")
      ->required()
      ->type_name("");
  command->add_option("--ranks", options->ranks, "Ranks to start")
      ->required()
      ->type_name("N")
      ->check(CLI::Range(1, 1 << 20));
  add_run(*command, *options);
  add_hosts(*command, *options);
  add_limits(*command, options->limits);
  command->footer(
      "Ctrl-C once saves and ends with 75, twice ends without saving.\n"
      "Example:\n  hetmoe launch configs/tiny.yaml --ranks 2 --run-dir runs/a");
  command->callback(
      [options, &action] { action = [options] { return run_launch_command(*options); }; });
}

}  // namespace hetmoe
