#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "launcher/mpirun_command.h"
#include "launcher/sweep/sweep_file.h"

namespace hetmoe {

/// How the runs of a sweep are started.
struct SweepOptions {
  std::filesystem::path folder;             ///< each run gets a folder of its name in it
  int ranks = 1;                            ///< of a run that is launched here
  std::vector<std::string> launch_options;  ///< handed on to launch, word by word
  std::string submit;                       ///< a shell's line that takes a run; empty: launch
};

/// How one run came out.
struct SweepOutcome {
  enum class Kind { kFinished, kPassedOver, kSubmitted, kStopped, kFailed };

  std::string name;
  Kind kind = Kind::kFinished;
  int code = 0;        ///< of a failed or stopped one: its exit code
  std::string reason;  ///< one line; empty: nothing to add
};

/// What starts a run: `hetmoe launch ...`, or `sh -c 'LINE "$@"' ...` with configuration, folder
/// and settings as the batch script takes them.
Command run_command(const SweepOptions& options, const Sweep& sweep, const SweepRun& run,
                    const std::string& program);

/// Whether the run has ended with success under what the sweep now asks of it: where exit.json says
/// 0 and model, data, training and evaluation of its config.yaml are as wanted. Never throws.
bool is_finished(const std::filesystem::path& run_directory, const Sweep& sweep,
                 const SweepRun& run);

/// Starts the runs one after another, each in its folder, and says on standard output which; those
/// that are finished or submitted already are passed over. One that fails does not keep the others
/// from running. The first SIGINT, SIGTERM or SIGHUP is passed on to the run, which saves and ends,
/// and no other begins. With `submit` nothing is waited for.
/// Gives an outcome for each run that was looked at. Blocking: until the last has ended. Threads:
/// this one must be the only one. Errors: StorageError (the folder, /proc), ConfigError (a program
/// that cannot be started).
std::vector<SweepOutcome> start_runs(const SweepOptions& options, const Sweep& sweep);

/// 75 where a signal stopped the sweep, else the code of the first run that did not end well, else
/// 0.
int exit_code_of(const std::vector<SweepOutcome>& outcomes);

}  // namespace hetmoe
