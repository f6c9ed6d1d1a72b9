#pragma once

#include <c10/core/TensorOptions.h>

#include "parallel/placement/cluster.h"
#include "runtime/calibration/calibration_plan.h"
#include "runtime/calibration/measurement.h"

namespace hetmoe {

/// What a decoder's layer takes beside its products: norms, residual, routing, dispatch within the
/// rank, autograd. Decoders of a few layers run forward and backward at two numbers of tokens and
/// up to two hidden sizes; off each run go the expert kernels' own time in it and that of a
/// layer's projections and attention just after it, and the rest is fitted by fixed + per value x
/// tokens x hidden size. place: compute type and device. Fills cluster.layer_seconds and
/// cluster.layer_seconds_per_value. Collective.
void measure_layers(Measurement& measurement, const CalibrationPlan& plan,
                    const at::TensorOptions& place, const Clock& clock, double seconds_per_point,
                    Cluster& cluster);

/// One measured remainder of a layer.
struct LayerPoint {
  double values = 0;  ///< tokens x hidden size
  double seconds = 0;
};
struct LayerFit {
  double seconds = 0;
  double seconds_per_value = 0;
};
/// The line of least squares of relative error, with neither part below zero.
LayerFit fit_layers(const std::vector<LayerPoint>& points);

}  // namespace hetmoe
