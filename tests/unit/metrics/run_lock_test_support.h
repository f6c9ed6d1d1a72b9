#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "runtime/metrics/run_lock.h"
#include "tests/unit/metrics/metrics_test_files.h"

namespace hetmoe {

/// Half a second goes by at each look at it, while the wall clock runs backwards.
class RunningClock final : public Clock {
 public:
  double monotonic_seconds() const override {
    monotonic_ += 0.5;
    wall_ -= 1000;
    if (on_look) on_look(monotonic_);
    return monotonic_;
  }
  double wall_seconds() const override { return wall_; }
  double passed_seconds() const { return monotonic_ - kStart; }

  std::function<void(double seconds)> on_look;

 private:
  static constexpr double kStart = 1e6;
  mutable double monotonic_ = kStart;
  mutable double wall_ = 1.8e9;
};

/// A forked process that runs `work`; ends, and is waited for, with this object.
class Child {
 public:
  explicit Child(const std::function<void()>& work) : process_(::fork()) {
    if (process_ != 0) return;
    try {
      work();
    } catch (...) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  ~Child() { kill(); }
  Child(Child&& other) noexcept : process_(std::exchange(other.process_, -1)) {}
  Child& operator=(Child&&) = delete;

  pid_t process() const { return process_; }

  /// kill -9; `reaped`: it is no zombie afterwards.
  void kill(bool reaped = true) {
    if (process_ < 0) return;
    ::kill(process_, SIGKILL);
    siginfo_t ended = {};
    ::waitid(P_PID, static_cast<id_t>(process_), &ended, WEXITED | (reaped ? 0 : WNOWAIT));
    if (reaped) process_ = -1;
  }

 private:
  pid_t process_;
};

/// A pipe whose ends are closed one by one, for processes that wait for one another.
class Pipe {
 public:
  Pipe() {
    if (::pipe(ends_.data()) != 0) throw StorageError("no pipe");
  }
  ~Pipe() {
    close_reading();
    close_writing();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  void close_reading() { close(ends_[0]); }
  void close_writing() { close(ends_[1]); }
  void put(char c) { static_cast<void>(!::write(ends_[1], &c, 1)); }
  /// '\0' when all who could write have closed.
  char get() {
    char c = '\0';
    return ::read(ends_[0], &c, 1) == 1 ? c : '\0';
  }

 private:
  static void close(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }

  std::array<int, 2> ends_ = {-1, -1};
};

/// Looks without pausing, and does not refresh while a test lasts.
inline RunLockOptions quick() { return {.refresh_seconds = 3600, .poll_seconds = 0}; }

/// Refreshes so often that a watcher sees it soon.
inline RunLockOptions lively() { return {.refresh_seconds = 0.02, .poll_seconds = 0.001}; }

/// This process, under no job, wherever the tests run.
inline LockHolder here() {
  LockHolder self = this_process();
  self.slurm_job = "";
  self.launch_id = "";
  return self;
}

/// Somebody on another machine.
inline LockHolder stranger() {
  return {.host = "far",
          .process_table = "other boot",
          .process = 12,
          .process_start = 34,
          .slurm_job = "7",
          .launch_id = "launch",
          .generation = 3,
          .beat = 5};
}

inline void put(const RunDirectory& directory, const LockHolder& holder) {
  put(directory.lock_file(), write_lock_holder(holder));
}

}  // namespace hetmoe
