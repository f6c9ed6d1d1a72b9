#pragma once

#include <ATen/core/Tensor.h>

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

}  // namespace hetmoe
