#pragma once

#include <sys/types.h>

#include <atomic>
#include <optional>
#include <thread>

#include "launcher/mpirun_command.h"
#include "launcher/mpirun_messages.h"

namespace hetmoe {

/// How a process ended: by itself with a code, or by a signal.
struct ProcessEnd {
  int code = 0;
  int signal = 0;  ///< 0: none
};

/// A running mpirun: leader of a process group of its own, so that a terminal's Ctrl-C reaches the
/// launcher alone; nothing on its standard input; SIGTERM when the launcher dies, even by SIGKILL.
/// Its standard error passes through a thread here, without mpirun's own words on a rank's end.
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

  /// Once it has ended: which rank mpirun saw end first, if any. What it and the ranks had left to
  /// say on standard error has been passed on. Waits for that, up to a second.
  std::optional<FirstLost> first_lost();

  /// To mpirun, which forwards SIGUSR1 to every rank; nothing once it has ended.
  void signal(int signal) const;
  /// To its whole group.
  void signal_group(int signal) const;

 private:
  void pass_messages(int pipe);

  pid_t process_ = -1;
  std::atomic<bool> has_ended_ = false;
  MpirunMessages messages_;  ///< of the thread, until it is joined
  std::thread reader_;
};

}  // namespace hetmoe
