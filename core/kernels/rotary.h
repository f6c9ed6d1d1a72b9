#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>

#include <cstdint>
#include <memory>

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

/// Cosines and sines of every position, computed in double and stored in the arithmetic type.
template <typename Value>
struct Rotations;

/// The same rotation of rows of one head that follow one another, where no other copy is wanted.
/// Strides in elements. Copies of it share their angles.
class HeadRotation {
 public:
  explicit HeadRotation(const AttentionShape& shape);

  /// out [rows, head_dim] = rotation of in, for positions from first_position on.
  void rotate(const c10::BFloat16* in, std::int64_t in_stride, std::int64_t first_position,
              std::int64_t rows, c10::BFloat16* out, std::int64_t out_stride) const;

  /// The reverse, of factor * in; rounded once.
  void rotate_back(const float* in, std::int64_t in_stride, float factor,
                   std::int64_t first_position, std::int64_t rows, c10::BFloat16* out,
                   std::int64_t out_stride) const;

 private:
  std::int64_t half_;
  std::shared_ptr<const Rotations<float>> rotations_;
};

}  // namespace hetmoe
