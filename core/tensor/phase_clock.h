#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <memory>
#include <vector>

#include "core/base/operation.h"
#include "core/tensor/work_clock.h"

namespace hetmoe {

/// What a training step does.
enum class Phase : std::uint8_t {
  kData,
  kForward,
  kDispatchWait,  ///< for tokens on their way to experts
  kExpert,
  kCombineWait,  ///< for their results
  kBackward,
  kGradients,
  kOptimizer,
  kParameters,
  kOther,
};
inline constexpr std::size_t kNumPhases = 10;
const char* name_of(Phase phase);
using SecondsOfPhases = std::array<double, kNumPhases>;  ///< by Phase

/// How long the phases of a step take on what computes it (work_clock.h). Every moment belongs to
/// one phase. Threads: one at a time.
class PhaseClock {
 public:
  explicit PhaseClock(std::unique_ptr<WorkClock> clock) : clock_(std::move(clock)) {}

  /// What is done from now on, until the next call, is of this phase.
  void enter(Phase phase);
  Phase phase() const { return phase_; }

  /// Seconds of all that has been done since the last call. What a GPU still has before it comes in
  /// a later call: the host does not wait. Time from here to the next `enter` belongs to nobody.
  SecondsOfPhases take();

 private:
  static constexpr int kNobodys = -1;
  void mark(int next);

  std::unique_ptr<WorkClock> clock_;
  Phase phase_ = Phase::kOther;
  std::vector<int> interval_phase_;  ///< what follows each mark
};

/// A phase within another, which goes on afterwards; to a profile it is an operation. Without a
/// clock it is that alone. Left by an exception it marks nothing, for the device may be what has
/// failed, and the clock stays in the phase that failed.
class PhaseScope {
 public:
  PhaseScope(PhaseClock* clock, Phase phase, Work work = {})
      : operation_(name_of(phase), work), clock_(clock) {
    if (clock_ == nullptr) return;
    outer_ = clock_->phase();
    clock_->enter(phase);
  }
  PhaseScope(const PhaseScope&) = delete;
  PhaseScope& operator=(const PhaseScope&) = delete;
  ~PhaseScope() noexcept(false) {
    if (clock_ != nullptr && std::uncaught_exceptions() == exceptions_) clock_->enter(outer_);
  }

 private:
  Operation operation_;
  PhaseClock* clock_;
  Phase outer_ = Phase::kOther;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace hetmoe
