#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "core/kernels/gradient_sum.h"

namespace hetmoe {

/// Rows tokens[t] of table [V, D]: [T, D]. A token outside [0, V) is a broken invariant: readers
/// check them.
at::Tensor embedding_forward(const at::Tensor& table, std::span<const std::int32_t> tokens);

/// gradient[tokens[t]] += dy[t], in order of t; or begins with it, from rows of 0.
/// Shape: dy [T, D], gradient [V, D], fp32 (fp64).
void embedding_backward(const at::Tensor& dy, std::span<const std::int32_t> tokens,
                        at::Tensor& gradient, GradientSum sum = GradientSum::kContinue);

}  // namespace hetmoe
