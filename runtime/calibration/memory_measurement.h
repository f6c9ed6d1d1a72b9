#pragma once

#include <c10/core/TensorOptions.h>

#include <cstdint>

#include "runtime/calibration/measurement.h"

namespace hetmoe {

/// Bytes per second, read and written, of an update: masters and moments, and the copy where there
/// is one, counted as update_bytes.h says. Gradients are squared and zeroed at the pace of memory
/// and not in this time. place: compute type and device. Collective.
double measure_optimizer(Measurement& measurement, std::int64_t elements,
                         const at::TensorOptions& place, double seconds);

}  // namespace hetmoe
