#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/gradient_sum.h"

namespace hetmoe {

/// x w^T. Shape: x [T, in], w [out, in]; gives [T, out], type of x.
at::Tensor linear_forward(const at::Tensor& x, const at::Tensor& weight);

/// dy w. Shape: dy [T, out], w [out, in]; gives [T, in], type of dy.
at::Tensor linear_input_gradient(const at::Tensor& dy, const at::Tensor& weight);

/// gradient += dy^T x, or begins with it. Shape: dy [T, out], x [T, in], gradient [out, in], fp32
/// (fp64 for fp64).
void add_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor& gradient,
                         GradientSum sum = GradientSum::kContinue);

}  // namespace hetmoe
