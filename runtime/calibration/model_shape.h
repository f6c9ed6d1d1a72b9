#pragma once

#include <cstdint>

#include "core/kernels/attention.h"
#include "runtime/calibration/calibration_plan.h"

namespace hetmoe {

/// The plan's model at another hidden size. Heads stay as wide as they are: with the model's own
/// hidden size it has its own heads, with others as many as fit.
ModelConfig model_at(const CalibrationPlan& plan, std::int64_t hidden_size);

/// One sequence of the model's attention at this hidden size.
AttentionShape attention_shape(const CalibrationPlan& plan, std::int64_t hidden_size,
                               std::int64_t length);

}  // namespace hetmoe
