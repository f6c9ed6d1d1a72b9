#pragma once

#include <sys/types.h>

#include <optional>

#include "launcher/mpirun_command.h"

namespace hetmoe {

/// How a process ended: by itself with a code, or by a signal.
struct ProcessEnd {
  int code = 0;
  int signal = 0;  ///< 0: none
};

/// A running mpirun: leader of a process group of its own, so that a terminal's Ctrl-C reaches the
/// launcher alone; nothing on its standard input; SIGTERM when the launcher dies, even by SIGKILL.
/// One thread starts it, asks it and outlives it (the kernel's promise is about that thread).
class MpirunProcess {
 public:
  /// Starts it, with empty signal mask and standard dispositions. Errors: ConfigError when the
  /// program cannot be started.
  explicit MpirunProcess(const Command& command);
  /// Kills the group if it still runs, and waits for its leader.
  ~MpirunProcess();
  MpirunProcess(const MpirunProcess&) = delete;
  MpirunProcess& operator=(const MpirunProcess&) = delete;

  /// Its end, once it has ended; does not wait.
  std::optional<ProcessEnd> poll();

  /// To mpirun, which forwards SIGUSR1 to every rank; nothing once it has ended.
  void signal(int signal) const;
  /// To its whole group.
  void signal_group(int signal) const;

 private:
  pid_t process_ = -1;
};

}  // namespace hetmoe
