#include "core/tensor/phase_clock.h"

namespace hetmoe {

const char* name_of(Phase phase) {
  static constexpr std::array<const char*, kNumPhases> kNames = {
      "data",     "forward",   "dispatch wait", "expert",     "combine wait",
      "backward", "gradients", "optimizer",     "parameters", "other"};
  return kNames[static_cast<std::size_t>(phase)];
}

void PhaseClock::enter(Phase phase) {
  phase_ = phase;
  mark(static_cast<int>(phase));
}

SecondsOfPhases PhaseClock::take() {
  mark(kNobodys);
  SecondsOfPhases seconds{};
  std::size_t done = 0;
  while (done + 1 < clock_->marks() && clock_->reached(done + 1)) {
    const int phase = interval_phase_[done];
    if (phase != kNobodys) {
      seconds[static_cast<std::size_t>(phase)] += clock_->seconds_between(done, done + 1);
    }
    ++done;
  }
  clock_->forget_before(done);
  interval_phase_.erase(interval_phase_.begin(),
                        interval_phase_.begin() + static_cast<std::ptrdiff_t>(done));
  return seconds;
}

void PhaseClock::mark(int next) {
  clock_->mark();
  interval_phase_.push_back(next);
}

}  // namespace hetmoe
