#pragma once

#include <cstdint>

#include "core/gpu/bfloat16_bits.h"
#include "core/gpu/launch.h"
#include "core/kernels/gpu/slice_table.h"

namespace hetmoe::gpu {

/// The hidden layer of all slices of a layer at once. All pointers are the device's.
/// Selection i of slice s with its width w: gate_up + 2 * (hidden_begin + local * w) holds [g, u],
/// hidden + hidden_begin + local * w its result; local = i - selection_begin.
template <typename T>
struct SwigluRows {
  const SliceSpan* slices = nullptr;  ///< [num_slices], by selection_begin
  std::int64_t num_slices = 0;
  const float* gate = nullptr;  ///< [selections]
  std::int64_t selections = 0;  ///< of all slices
  bool packs = false;  ///< every width and hidden_begin a multiple of 16 bytes, buffers aligned
};

/// hidden = gate * silu(g) * u. Arithmetic in fp32, one rounding. T: float or BFloat16Bits.
template <typename T>
void swiglu_forward(const SwigluRows<T>& rows, const T* gate_up, T* hidden, Stream stream);

/// In: gate_up, and dhidden = dy Wd^T. Out: gate_up becomes its own gradient, dhidden becomes
/// gate * silu(g) * u, and dgate[i] = sum over hidden units of silu(g) * u * dhidden.
template <typename T>
void swiglu_backward(const SwigluRows<T>& rows, T* gate_up, T* dhidden, float* dgate,
                     Stream stream);

}  // namespace hetmoe::gpu
