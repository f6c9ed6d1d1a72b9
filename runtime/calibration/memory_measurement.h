#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

#include "runtime/calibration/measurement.h"

namespace hetmoe {

/// Bytes per second, read and written, of a copy of so many bytes. Collective.
double measure_memory(Measurement& measurement, std::int64_t copy_bytes, double seconds);

/// Bytes per second of everything a step does to parameters outside the passes: gradients zeroed,
/// their squares summed, masters and moments updated, the copy refreshed. Counted as the
/// parameter's 18 bytes in bf16 (copy, gradient, master, moments), 16 in fp32. Collective.
double measure_optimizer(Measurement& measurement, std::int64_t elements, at::ScalarType type,
                         double seconds);

}  // namespace hetmoe
