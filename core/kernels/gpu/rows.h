#pragma once

#include <cstdint>

#include "core/gpu/bfloat16_bits.h"
#include "core/gpu/launch.h"

namespace hetmoe::gpu {

/// Rows of `columns` elements, moved and added. All pointers are the device's; matrices are
/// contiguous. T: float or BFloat16Bits.

/// out[i] = x[index[i]]. Shape: index [rows], out [rows, columns]; an index may occur again.
template <typename T>
void gather_rows(const T* x, const std::int32_t* index, T* out, std::int64_t rows,
                 std::int64_t columns, Stream stream);

/// target[index[i]] = x[i]. Shape: x [rows, columns], index [rows]; no index may occur twice.
template <typename T>
void scatter_rows(const T* x, const std::int32_t* index, T* target, std::int64_t rows,
                  std::int64_t columns, Stream stream);

/// Which rows make up each sum.
struct RowSums {
  const std::int32_t* positions = nullptr;  ///< [sums, capacity]; negative: no row
  std::int64_t sums = 0;
  std::int64_t capacity = 0;
};

/// out[t] = sum of x[positions[t, i]] in order of i, then plus[t] unless null. Added in fp32 and
/// rounded once; zeros where there is nothing to add. Shape: plus and out [sums, columns]; they may
/// be the same.
template <typename T>
void sum_rows(const T* x, const RowSums& rows, const T* plus, T* out, std::int64_t columns,
              Stream stream);

}  // namespace hetmoe::gpu
