#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "core/kernels/gradient_sum.h"
#include "core/kernels/packed_matrix.h"

namespace hetmoe {

/// Output head and cross entropy in bf16 on packed products: logits are fp32 and stay in the cache.
/// Of a chunk of tokens only exp(logit - reference) is kept, in bf16, and no probability of a
/// target is ever rounded: its part of both gradients is added in fp32.
bool can_pack_cross_entropy(const at::Tensor& x, const at::Tensor& head);

struct HeadGradients {
  at::Tensor dx;     ///< [T, D] bf16, written
  at::Tensor& head;  ///< [V, D] fp32
  double scale;      ///< of both
  GradientSum sum;   ///< of the head's
  ReusedBuffer& memory;
};

/// Sum of the losses in nats, with `gradients` the gradients as well. Shape: x [T, D], head [V, D],
/// targets [T] in [0, V). Where can_pack_cross_entropy(). Its memory, beside dx in fp32 and parts
/// of 1,024 rows: exponentials of a chunk of tokens in bf16, about 64 MiB or those of 64 tokens if
/// that is more.
double packed_cross_entropy(const at::Tensor& x, const at::Tensor& head,
                            std::span<const std::int32_t> targets, HeadGradients* gradients);

}  // namespace hetmoe
