#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

/// Longer than any machine needs.
inline constexpr double kPatienceSeconds = 60;

std::string loopback(int port);

/// What a call was refused with; without words: it was not.
struct Refusal {
  CoordinatorFault fault = CoordinatorFault::kInvalid;
  std::string words;
};
Refusal refusal_of(const std::function<void()>& call);

/// Repeats a call until it is not refused; false: it always was.
bool succeeds_within(double seconds, const std::function<void()>& call);

/// Connects, sends, and hangs up when the other side does or after a while.
void send_bytes(int port, const std::string& bytes);

/// Holds whoever passes until it is opened.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    arrived_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void await_arrival() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return arrived_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool arrived_ = false;
  bool open_ = false;
};

}  // namespace hetmoe
