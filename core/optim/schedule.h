#pragma once

#include <cstdint>

namespace hetmoe {

/// Learning rate over steps: linear warm-up from 0 over `warmup_steps` (0: at once), then constant,
/// or a half cosine from the peak down to `final_ratio` of it at `total_steps`.
struct LearningRateSchedule {
  double peak = 0;
  std::int64_t warmup_steps = 0;
  bool cosine = false;
  double final_ratio = 0;
  std::int64_t total_steps = 0;

  /// `step` counts from 1.
  double at(std::int64_t step) const;
};

}  // namespace hetmoe
