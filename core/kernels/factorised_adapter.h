#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/adapter.h"
#include "core/kernels/generator_head.h"

namespace hetmoe {

/// What adapter_forward of generated adapters gives, without generating them. The heads are linear
/// in the code a, so an adapter is a mixture of h fixed ones with weights a:
///   x down = sum_c a_c (x Down_c) + x Down_bias,   u up = (u outer a) Up + u Up_bias.
/// FLOPs are those of generating per token (4 D r h per token), memory is not: for where almost
/// every token has a code of its own. Tokens go in chunks, so that the [tokens, r, h] in between
/// stays below 32 MiB.
/// Shape: x [T, D]; code [G, h], one row per group, both compute type.
AdapterForward factorised_adapter_forward(const at::Tensor& x, const TokenGroups& groups,
                                          const at::Tensor& code, const AdapterHeads& heads);

struct FactorisedBackward {
  at::Tensor dx;     ///< [T, D], type of x
  at::Tensor dcode;  ///< [G, h], fp32 (fp64)
};

/// Begins or continues the heads' gradients.
FactorisedBackward factorised_adapter_backward(const at::Tensor& dy, const at::Tensor& x,
                                               const TokenGroups& groups, const at::Tensor& code,
                                               const at::Tensor& hidden, AdapterHeads& heads,
                                               GradientSum sum = GradientSum::kContinue);

}  // namespace hetmoe
