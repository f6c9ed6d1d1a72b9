#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/attention.h"

namespace hetmoe {

/// Splits rows of qkv into heads and rotates queries and keys, in one pass. On the host alone.
struct RotatedHeads {
  at::Tensor query;  ///< [sequences * num_heads, length, head_dim]
  at::Tensor key;    ///< [sequences * num_kv_heads, length, head_dim]
  at::Tensor value;  ///< [sequences * num_kv_heads, length, head_dim]
};
RotatedHeads split_and_rotate(const at::Tensor& qkv, const AttentionShape& shape);

/// The reverse: rotates back and gathers heads into rows [T, row_width].
at::Tensor rotate_back_and_join(const RotatedHeads& heads, const AttentionShape& shape);

}  // namespace hetmoe
