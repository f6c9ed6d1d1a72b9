#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "core/kernels/attention.h"
#include "core/kernels/rotary.h"

namespace hetmoe {

/// Whether the packed form below can take these heads: bf16, head_dim a multiple of 32, and a
/// processor with the instructions.
bool can_pack_attention(const at::Tensor& heads, const AttentionShape& shape);

/// attention_forward after the rotation, on packed products: scores and softmax stay in fp32, only
/// probabilities are rounded to bf16, and a block of 64 queries never leaves the cache between its
/// products. Gives rows [T, num_heads * head_dim]; writes log_sum_exp.
at::Tensor packed_attention_forward(const RotatedHeads& heads, const AttentionShape& shape,
                                    std::span<const std::int32_t> document_begin,
                                    at::Tensor& log_sum_exp);

/// Gradients of the rotated heads. Probabilities are computed again from log_sum_exp; sums over
/// blocks of queries are fp32.
RotatedHeads packed_attention_backward(const at::Tensor& doutput, const AttentionResult& saved,
                                       const AttentionShape& shape,
                                       std::span<const std::int32_t> document_begin);

}  // namespace hetmoe
