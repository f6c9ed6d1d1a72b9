#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "core/base/clock.h"
#include "parallel/communicator/communicator.h"
#include "runtime/profile/step_profile.h"

namespace hetmoe {

/// What is profiled, and where it is written.
struct ProfilingRequest {
  std::int64_t steps = 0;       ///< how many; the first ones of a run are left out
  std::int64_t first_step = 1;  ///< of this start of the run
  std::int64_t last_step = 1;
  std::filesystem::path folder;  ///< rank-N.txt and rank-N.trace.json, a pair for each rank
  std::string precision;
  double tokens = 0;  ///< of all ranks in a step
  Communicator& control;
  const Clock& clock;
};

/// Records some steps of this rank on a CPU and writes where their time went.
class Profiling {
 public:
  explicit Profiling(const ProfilingRequest& request);

  void begin_step(std::int64_t step);
  /// `model_flops`: of all ranks in the step. After the last step that is recorded gives rank 0's
  /// table, else nothing. That call measures the machine's rates and writes; all ranks come to it
  /// together. Errors: AgreedError (storage).
  std::string end_step(std::int64_t step, double model_flops);

 private:
  Roofline measure_roofline();

  ProfilingRequest request_;
  StepRecording recording_;
  std::int64_t begin_, end_;  ///< steps recorded: [begin, end)
  double model_flops_ = 0;
};

}  // namespace hetmoe
