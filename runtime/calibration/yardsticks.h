#pragma once

#include <c10/core/TensorOptions.h>

#include <cstdint>

#include "runtime/calibration/measurement.h"

namespace hetmoe {

/// FLOP/s of one 2048 x 1024 x 2048 product by at::mm: the yardstick of all benchmarks. place:
/// compute type and device. Collective.
double measure_peak(Measurement& measurement, const at::TensorOptions& place, double seconds);

/// Bytes per second, read and written, of a copy of so many bytes. place: of both; compute type and
/// device. Collective.
double measure_memory(Measurement& measurement, std::int64_t copy_bytes,
                      const at::TensorOptions& place, double seconds);

}  // namespace hetmoe
