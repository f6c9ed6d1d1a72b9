#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "core/kernels/attention.h"
#include "core/kernels/rms_norm.h"
#include "core/kernels/rotary.h"

/// What the functions of core/kernels do for tensors of a GPU: the same contracts, fp32 and bf16.
/// Enqueued on the calling thread's compute stream; the host does not wait. Values of the host that
/// they take are copied aside first.
namespace hetmoe::on_gpu {

RmsNormResult rms_norm_forward(const at::Tensor& x, const at::Tensor& weight, double epsilon);
at::Tensor rms_norm_backward(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight,
                             const at::Tensor& inverse_rms, at::Tensor& weight_gradient,
                             GradientSum sum);

/// result += a b, in fp32 whatever the type of a and b, or begins with it.
/// Shape: a [n, k], b [k, m], result [n, m] fp32.
void add_product(const at::Tensor& a, const at::Tensor& b, at::Tensor& result,
                 GradientSum sum = GradientSum::kContinue);
/// gradient += dy^T x, the same way.
void add_weight_gradient(const at::Tensor& dy, const at::Tensor& x, at::Tensor& gradient,
                         GradientSum sum);

at::Tensor embedding_forward(const at::Tensor& table, std::span<const std::int32_t> tokens);
void embedding_backward(const at::Tensor& dy, std::span<const std::int32_t> tokens,
                        at::Tensor& gradient);

/// Angles of AttentionShape::rotary_table.
at::Tensor make_rotary_table(const AttentionShape& shape);
/// As core/kernels/rotary.h, but heads lie row by row: [sequences, length, heads, head_dim].
RotatedHeads split_and_rotate(const at::Tensor& qkv, const AttentionShape& shape);
at::Tensor rotate_back_and_join(const RotatedHeads& heads, const AttentionShape& shape);

struct CrossEntropy {
  at::Tensor loss_sum;  ///< [1], fp64, on the GPU
  at::Tensor dx;        ///< undefined without gradients
};
/// head_gradient null: the loss alone.
CrossEntropy cross_entropy(const at::Tensor& x, const at::Tensor& head,
                           std::span<const std::int32_t> targets, double gradient_scale,
                           at::Tensor* head_gradient, GradientSum sum);

}  // namespace hetmoe::on_gpu
