#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/kernels/rotary.h"

namespace hetmoe {

/// split_and_rotate (rotary.h) for sequences that go on: their first rows are at `first_position`.
RotatedHeads split_and_rotate(const at::Tensor& qkv, const AttentionShape& shape,
                              std::int64_t first_position);

/// Causal softmax attention of a sequence's newest positions to all of its positions, with grouped
/// key/value heads. The queries are those of the last positions that there are keys for.
/// Shape: query [num_heads, new, head_dim], rotated; key, value [num_kv_heads, positions,
/// head_dim], fp32 (fp64), rows contiguous, heads at any distance; gives [new, num_heads *
/// head_dim], type of the query. Arithmetic in the keys' type. Scores exist for one block of
/// queries at a time.
at::Tensor cached_attention(const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value);

}  // namespace hetmoe
