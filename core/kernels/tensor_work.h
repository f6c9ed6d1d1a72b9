#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>

#include "core/base/operation.h"

namespace hetmoe {

/// Of all of them, each once.
template <typename... Tensors>
double bytes_of(const Tensors&... tensors) {
  return (static_cast<double>(tensors.nbytes()) + ... + 0.0);
}

/// Of a product [rows, depth] x [depth, columns].
inline double product_flops(std::int64_t rows, std::int64_t columns, std::int64_t depth) {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(columns) *
         static_cast<double>(depth);
}

/// The same with what it reads and writes.
inline Work product_work(std::int64_t rows, std::int64_t columns, std::int64_t depth,
                         std::size_t value_bytes) {
  return {product_flops(rows, columns, depth),
          static_cast<double>(rows * depth + columns * depth + rows * columns) *
              static_cast<double>(value_bytes)};
}

}  // namespace hetmoe
