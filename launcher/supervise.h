#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "launcher/hostfile.h"
#include "launcher/launch_options.h"
#include "launcher/mpirun_command.h"

namespace hetmoe {

/// What supervision asks of the world beside starting mpirun.
struct Observers {
  std::function<std::optional<std::int64_t>()> newest_committed;  ///< step of the run directory
  HostProbe answering_hosts;                                      ///< asked with --shrink only
};

/// Runs mpirun until the run is done, is stopped or is given up: one attempt after another, in the
/// same run directory (`options.run_dir`, given). One line on standard error for each restart, with
/// the reason, and for an end that is not success. Gives the exit code of section 9 of the design;
/// exit.json holds it too, where the ranks had no time to write it.
///
/// Signals, from the first moment on: the first SIGINT, SIGTERM or SIGHUP becomes SIGUSR1 for
/// mpirun, which the ranks answer by saving and ending; the second SIGTERM for mpirun's group, the
/// third SIGKILL; SIGUSR1 is passed on. After any of them nothing is restarted.
/// Blocking: until then. Threads: this one must be the only one. Errors: ConfigError (mpirun or the
/// hostfile), StorageError (checkpoints that cannot be listed).
int supervise(const LaunchOptions& options, const Surroundings& surroundings,
              const Observers& observers);

/// What --resume says to the next attempt, with the newest committed step when the launch began and
/// now. A restart continues what this launch has saved; while it has saved nothing it begins once
/// more as it was told to, but for "never" in a folder that was empty, which an attempt has used by
/// now.
std::string resume_of_restart(const std::string& given, std::optional<std::int64_t> at_launch,
                              std::optional<std::int64_t> now);

}  // namespace hetmoe
