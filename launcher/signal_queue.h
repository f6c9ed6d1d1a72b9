#pragma once

#include <csignal>

namespace hetmoe {

/// The signals that a launcher acts on, taken one after another by the code that waits for them: no
/// handler runs anywhere. While it lives SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGCHLD are blocked
/// in this thread, which must be the only one; children are to be started with an empty mask.
class SignalQueue {
 public:
  SignalQueue();
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  /// The next signal, or 0 after `seconds`. Blocking: until then.
  int wait(double seconds) const;

 private:
  sigset_t awaited_{};
  sigset_t mask_before_{};
  struct sigaction child_before_ {};
};

}  // namespace hetmoe
