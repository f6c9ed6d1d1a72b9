#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "core/kernels/attention.h"
#include "core/kernels/head_rows.h"

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

/// Cosines and sines of every position, computed in double and stored in the arithmetic type.
template <typename Value>
struct Rotations;

/// The angles of the same rotation, for where no other copy of the heads is wanted
/// (head_rows.h). Valid as long as this lives.
class HeadRotation {
 public:
  explicit HeadRotation(const AttentionShape& shape);

  /// Of the positions from this one on.
  HeadAngles from(std::int64_t position) const;

 private:
  std::int64_t width_;
  std::shared_ptr<const Rotations<float>> rotations_;
};

}  // namespace hetmoe
