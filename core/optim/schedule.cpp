#include "core/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hetmoe {

double LearningRateSchedule::at(std::int64_t step) const {
  if (step < warmup_steps) {
    return peak * static_cast<double>(step) / static_cast<double>(warmup_steps);
  }
  if (!cosine || total_steps <= warmup_steps) return peak;
  const double progress =
      static_cast<double>(step - warmup_steps) / static_cast<double>(total_steps - warmup_steps);
  const double shape = 0.5 * (1.0 + std::cos(std::numbers::pi * std::clamp(progress, 0.0, 1.0)));
  return peak * (final_ratio + (1.0 - final_ratio) * shape);
}

}  // namespace hetmoe
