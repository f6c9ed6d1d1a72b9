#pragma once

#include "core/base/clock.h"

namespace hetmoe::test {

/// Stands still until it is moved.
class HandClock final : public Clock {
 public:
  double monotonic_seconds() const override { return seconds; }
  double wall_seconds() const override { return 0; }
  double seconds = 100;
};

}  // namespace hetmoe::test
