#pragma once

#include <cstdint>

#include "core/gpu/bfloat16_bits.h"
#include "core/gpu/launch.h"

namespace hetmoe::gpu {

/// RMSNorm of rows: y = x / sqrt(mean(x^2) + epsilon) * weight (core/kernels/rms_norm.h). All
/// pointers are the device's. Arithmetic in fp32. T: float or BFloat16Bits.

/// Shape: x and y [rows, columns], weight [columns], inverse_rms [rows]. y may be x.
template <typename T>
void rms_norm_forward(const T* x, const T* weight, T* y, float* inverse_rms, std::int64_t rows,
                      std::int64_t columns, float epsilon, Stream stream);

/// Floats of `scratch` below.
std::int64_t rms_norm_scratch_floats(std::int64_t rows, std::int64_t columns);

/// What the backward pass reads.
template <typename T>
struct RmsNormSaved {
  const T* x = nullptr;                ///< [rows, columns]
  const T* weight = nullptr;           ///< [columns]
  const float* inverse_rms = nullptr;  ///< [rows]
  std::int64_t rows = 0;
  std::int64_t columns = 0;
};

/// Gives dx [rows, columns] and the weight's gradient [columns], with `adds` on top of what
/// `weight_gradient` holds, rows in an order that depends on nothing. dx may be dy. Does nothing
/// without rows.
template <typename T>
void rms_norm_backward(const RmsNormSaved<T>& saved, const T* dy, T* dx, bool adds,
                       float* weight_gradient, float* scratch, Stream stream);

}  // namespace hetmoe::gpu
