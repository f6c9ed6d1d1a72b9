#pragma once

namespace hetmoe {

/// Time, injected so that it can be tested. Both in seconds.
class Clock {
 public:
  virtual ~Clock() = default;
  /// Never goes back; the origin is arbitrary.
  virtual double monotonic_seconds() const = 0;
  /// Since 1970-01-01 UTC.
  virtual double wall_seconds() const = 0;
};

class SystemClock final : public Clock {
 public:
  double monotonic_seconds() const override;
  double wall_seconds() const override;
};

}  // namespace hetmoe
