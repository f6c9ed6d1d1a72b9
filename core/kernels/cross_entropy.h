#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "core/kernels/gradient_sum.h"
#include "core/kernels/packed_matrix.h"
#include "core/tensor/deferred.h"

namespace hetmoe {

struct CrossEntropyResult {
  Deferred loss_sum;  ///< nats, summed over the rows (not averaged)
  at::Tensor dx;      ///< [T, D], type of x; undefined in evaluation
};

/// Output head and cross entropy in one: logits exist only for a few rows at a time and are
/// turned into their gradient in place, so that the full [T, V] never exists.
/// Shape: x [T, D], head [V, D], one type; targets [T] in [0, V).
/// Gradient form: dx = gradient_scale * d loss_sum / dx, and the head's gradient, scaled alike,
/// begins or continues `head_gradient` [V, D] (fp32; fp64 for fp64). Softmax in fp32 (fp64).
/// `memory`: for about 64 MiB, kept by the caller, because the heap rarely has such a block free
/// and would grow, step by step, into pages that must be cleared.
CrossEntropyResult cross_entropy_with_gradient(const at::Tensor& x, const at::Tensor& head,
                                               std::span<const std::int32_t> targets,
                                               double gradient_scale, at::Tensor& head_gradient,
                                               GradientSum sum, ReusedBuffer& memory);

/// The same with memory of its own.
CrossEntropyResult cross_entropy_with_gradient(const at::Tensor& x, const at::Tensor& head,
                                               std::span<const std::int32_t> targets,
                                               double gradient_scale, at::Tensor& head_gradient,
                                               GradientSum sum = GradientSum::kContinue);

/// Evaluation form: the loss alone.
double cross_entropy(const at::Tensor& x, const at::Tensor& head,
                     std::span<const std::int32_t> targets);

}  // namespace hetmoe
