#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/gradient_sum.h"

namespace hetmoe {

/// RMSNorm: y = x / sqrt(mean(x^2) + epsilon) * weight, over the last dimension.
struct RmsNormResult {
  at::Tensor y;            ///< [T, D], type of x
  at::Tensor inverse_rms;  ///< [T], fp32 (fp64 for fp64 inputs)
};

/// Shape: x [T, D], weight [D], one type. Arithmetic in fp32 (fp64 for fp64).
RmsNormResult rms_norm_forward(const at::Tensor& x, const at::Tensor& weight, double epsilon);

/// Gives dx [T, D]; the weight's gradient begins or continues `weight_gradient` [D] (fp32 or fp64).
/// Rows are summed in index order, whatever the number of threads.
at::Tensor rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& inverse_rms, at::Tensor& weight_gradient,
                             GradientSum sum = GradientSum::kContinue);

}  // namespace hetmoe
