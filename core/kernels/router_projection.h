#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/gradient_sum.h"

namespace hetmoe {

/// The router's linear layer on hosts: few outputs, arithmetic in fp32 (fp64 for fp64) on rows of
/// any type, which are read as they lie. E: experts; "wide": fp32, fp64 for fp64. x must be
/// contiguous.

/// x w^T. Shape: x [T, D], weight [E, D], both of one type; gives [T, E], wide.
at::Tensor router_logits(const at::Tensor& x, const at::Tensor& weight);

/// dx += dlogits w, rounded once; gradient += dlogits^T x, or begins with it. Shape: dlogits [T,
/// E], wide; x, dx [T, D]; gradient [E, D], wide. The order of the sums does not depend on the
/// threads.
void router_gradients(const at::Tensor& dlogits, const at::Tensor& x, const at::Tensor& weight,
                      at::Tensor& dx, at::Tensor& gradient, GradientSum sum);

}  // namespace hetmoe
