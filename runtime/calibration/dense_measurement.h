#pragma once

#include <c10/core/TensorOptions.h>

#include <functional>

#include "core/kernels/attention.h"
#include "parallel/placement/cluster.h"
#include "runtime/calibration/calibration_plan.h"
#include "runtime/calibration/measurement.h"

namespace hetmoe {

/// Collective, like all below. place: compute type and device.
/// Attention's projections as the decoder calls them, by hidden size D: [T, D] to query, key and
/// value in one product, then [T, D] to D. Backward: both gradients of each.
RateCurve measure_dense_products(Measurement& measurement, const CalibrationPlan& plan,
                                 const at::TensorOptions& place, double seconds_per_point);

/// Causal attention with its rotary embedding, by sequence length L, in FLOPs of the causal half:
/// 2 T L (heads x head_dim) forward, twice that backward.
RateCurve measure_attention(Measurement& measurement, const CalibrationPlan& plan,
                            const at::TensorOptions& place, double seconds_per_point);

/// Output head with cross entropy, by hidden size. They are one kernel: forward is its evaluation
/// form, backward is what training takes beyond that, so their sum is training's time.
RateCurve measure_output_head(Measurement& measurement, const CalibrationPlan& plan,
                              const at::TensorOptions& place, double seconds_per_point);

/// Runs, each time it is called, projections and attention of one layer of this shape, forward and
/// backward.
std::function<void()> layer_products(const at::TensorOptions& place, std::int64_t hidden_size,
                                     const AttentionShape& shape);

}  // namespace hetmoe
