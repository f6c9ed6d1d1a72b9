#pragma once

#include "core/base/clock.h"

namespace hetmoe {

/// Adds the seconds of a scope to a sum.
class Stopwatch {
 public:
  Stopwatch(const Clock& clock, double& seconds)
      : clock_(clock), seconds_(seconds), start_(clock.monotonic_seconds()) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() { seconds_ += clock_.monotonic_seconds() - start_; }

 private:
  const Clock& clock_;
  double& seconds_;
  double start_;
};

}  // namespace hetmoe
