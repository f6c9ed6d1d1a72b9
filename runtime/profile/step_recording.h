#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/operation.h"

namespace hetmoe {

/// A scope that was heard of. Seconds since the recording began.
struct RecordedScope {
  const char* name = "";
  int depth = 0;  ///< 0: within no other
  double begin = 0;
  double end = 0;
  double inner_seconds = 0;  ///< of scopes directly within it
  Work work;

  double own_seconds() const { return end - begin - inner_seconds; }
};

/// A phase of a step, with what was done in it.
struct RecordedPhase {
  const char* name = "";
  double begin = 0;
  double end = 0;
  std::vector<RecordedScope> scopes;  ///< by begin
};

struct RecordedStep {
  std::int64_t step = 0;
  double begin = 0;
  double end = 0;
  std::vector<RecordedPhase> phases;
};

/// Writes down what this thread does in some steps. Memory: some 64 bytes per scope.
class StepRecording final : public OperationListener {
 public:
  /// `clock` must outlive it.
  explicit StepRecording(const Clock& clock) : clock_(clock), origin_(clock.monotonic_seconds()) {}
  ~StepRecording() override { stop_listening(); }

  /// Listens to the calling thread from now on until the step has ended.
  void begin_step(std::int64_t step);
  void end_step();

  const std::vector<RecordedStep>& steps() const { return steps_; }

  void begin(const char* name, Work work) override;
  void end() override;
  void phase_ended(const char* name) override;

 private:
  double now() const { return clock_.monotonic_seconds() - origin_; }
  void stop_listening();

  const Clock& clock_;
  double origin_;
  std::vector<RecordedStep> steps_;
  RecordedPhase phase_;            ///< under way
  std::vector<std::size_t> open_;  ///< scopes under way, of phase_
};

}  // namespace hetmoe
