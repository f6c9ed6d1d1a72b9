#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/attention.h"
#include "core/model/microbatch.h"
#include "core/model/parameter_store.h"

namespace hetmoe {

/// Differentiable building blocks. Autograd carries the activations' gradients; the parameters'
/// gradients begin or continue Parameter::gradient directly (fp32), so no second copy of them
/// exists. Parameters and PassState must outlive the backward pass.

/// x w^T. Shape: x [T, in] -> [T, out].
at::Tensor linear(const at::Tensor& x, const Parameter& weight);

/// RMSNorm over the last dimension. Shape: x [T, D] -> [T, D].
at::Tensor rms_norm(const at::Tensor& x, const Parameter& weight, double epsilon);

/// Rotary embedding and causal attention. Shape: qkv [T, row_width] -> [T, output_width].
at::Tensor attention(const at::Tensor& qkv, const AttentionShape& shape, const PassState& pass);

/// Rows of the embedding: a leaf that requires a gradient in training. Shape: -> [T, D].
at::Tensor embed(const Parameter& embedding, const PassState& pass, bool training);

/// Adds the leaf's gradient [T, D] to the embedding's. Rows are added in token order.
void embed_backward(const at::Tensor& gradient, Parameter embedding, const PassState& pass);

}  // namespace hetmoe
