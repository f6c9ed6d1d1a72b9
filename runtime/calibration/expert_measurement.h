#pragma once

#include <c10/core/TensorOptions.h>

#include "parallel/placement/cluster.h"
#include "runtime/calibration/calibration_plan.h"
#include "runtime/calibration/measurement.h"

namespace hetmoe {

/// Seconds of one slice, forward and backward, at every hidden size, number of rows and width of
/// the plan. The kernels are called as a step calls them: up to four layers, forward through all
/// and then backward, with up to eight slices in a call whose rows are gathered from half as
/// many tokens. Weights and activations come from as far away as in training, and what a call costs
/// by itself is shared by its slices. Large slices are measured alone. place: compute type and
/// device. Collective.
ExpertProducts measure_expert_products(Measurement& measurement, const CalibrationPlan& plan,
                                       const at::TensorOptions& place, double seconds_per_point);

}  // namespace hetmoe
