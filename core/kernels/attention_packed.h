#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "core/kernels/attention.h"

namespace hetmoe {

/// Whether the packed form below can take these heads: bf16, head_dim a multiple of 32, and a
/// processor with the instructions.
bool can_pack_attention(const at::Tensor& qkv, const AttentionShape& shape);

/// attention_forward on packed products: heads are read and rotated where they lie, scores and
/// softmax stay in fp32, only probabilities are rounded to bf16, and a tile of scores never leaves
/// the cache between its products. Gives rows [T, num_heads * head_dim]; writes log_sum_exp.
at::Tensor packed_attention_forward(const at::Tensor& qkv, const AttentionShape& shape,
                                    std::span<const std::int32_t> document_begin,
                                    at::Tensor& log_sum_exp);

/// Gives the gradient of qkv, [T, row_width]. Heads are rotated again, probabilities computed again
/// from log_sum_exp; sums over queries and keys are fp32.
at::Tensor packed_attention_backward(const at::Tensor& doutput, const AttentionResult& saved,
                                     const AttentionShape& shape,
                                     std::span<const std::int32_t> document_begin);

}  // namespace hetmoe
