#include "launcher/signal_queue.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "core/base/check.h"

namespace hetmoe {

SignalQueue::SignalQueue() {
  constexpr std::array kAwaited = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD};
  ::sigemptyset(&awaited_);
  for (const int signal : kAwaited) ::sigaddset(&awaited_, signal);
  // Who starts us may ignore it, and then the kernel would not keep how children ended.
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &standard, &child_before_);
  const int error = ::pthread_sigmask(SIG_BLOCK, &awaited_, &mask_before_);
  HETMOE_CHECK(error == 0, "pthread_sigmask gives ", error);
}

SignalQueue::~SignalQueue() {
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
  ::sigaction(SIGCHLD, &child_before_, nullptr);
}

int SignalQueue::wait(double seconds) const {
  const double left = std::clamp(seconds, 0.0, 3600.0);
  struct timespec timeout = {};
  timeout.tv_sec = static_cast<std::time_t>(left);
  timeout.tv_nsec = static_cast<long>((left - static_cast<double>(timeout.tv_sec)) * 1e9);
  const int signal = ::sigtimedwait(&awaited_, nullptr, &timeout);
  return signal > 0 ? signal : 0;
}

}  // namespace hetmoe
