#include "launcher/stop_signals.h"

#include <csignal>

namespace hetmoe {
namespace {

// A signal handler can reach nothing else.
volatile std::sig_atomic_t stop_signal = 0;

void remember(int signal) { stop_signal = signal; }

void take(int signal, int flags) {
  struct sigaction action = {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART | flags;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

void take_stop_signals() {
  take(SIGUSR1, 0);
  take(SIGTERM, 0);
  take(SIGINT, static_cast<int>(SA_RESETHAND));
}

bool stop_requested() { return stop_signal != 0; }

}  // namespace hetmoe
