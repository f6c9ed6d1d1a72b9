#include <ATen/ops/empty.h>

#include "core/kernels/gpu/rotary.h"

#include "core/kernels/on_gpu/dense.h"
#include "core/kernels/on_gpu/pointers.h"
#include "core/tensor/device.h"

namespace hetmoe::on_gpu {
namespace {

gpu::RotaryShape plain(const AttentionShape& shape) {
  return {.sequences = shape.sequences,
          .length = shape.length,
          .num_heads = shape.num_heads,
          .num_kv_heads = shape.num_kv_heads,
          .head_dim = shape.head_dim};
}

gpu::RotaryTable table_of(const AttentionShape& shape) {
  const auto* begin = data<float>(shape.rotary_table);
  const std::int64_t half = shape.length * (shape.head_dim / 2);
  HETMOE_CHECK(shape.rotary_table.numel() == 2 * half, "rotary table of ",
               shape.rotary_table.numel(), " values");
  return {.cosine = begin, .sine = begin + half};
}

}  // namespace

at::Tensor make_rotary_table(const AttentionShape& shape) {
  const std::int64_t half = shape.length * (shape.head_dim / 2);
  std::vector<float> table(static_cast<std::size_t>(2 * half));
  gpu::fill_rotary_table(plain(shape), shape.rope_theta, table.data(), table.data() + half);
  return uploaded(std::span<const float>(table), at::kFloat);
}

RotatedHeads split_and_rotate(const at::Tensor& qkv, const AttentionShape& shape) {
  const auto heads_of = [&](std::int64_t heads) {
    return at::empty({shape.sequences, shape.length, heads, shape.head_dim}, qkv.options());
  };
  RotatedHeads heads{heads_of(shape.num_heads), heads_of(shape.num_kv_heads),
                     heads_of(shape.num_kv_heads)};
  with_element(qkv, [&](auto element) {
    using T = decltype(element);
    gpu::split_and_rotate<T>(plain(shape), table_of(shape), data<T>(qkv),
                             {.query = mutable_data<T>(heads.query),
                              .key = mutable_data<T>(heads.key),
                              .value = mutable_data<T>(heads.value)},
                             compute_stream());
  });
  return heads;
}

at::Tensor rotate_back_and_join(const RotatedHeads& heads, const AttentionShape& shape) {
  at::Tensor rows =
      at::empty({shape.sequences * shape.length, shape.row_width()}, heads.query.options());
  with_element(rows, [&](auto element) {
    using T = decltype(element);
    gpu::rotate_back_and_join<T>(
        plain(shape), table_of(shape),
        {.query = data<T>(heads.query), .key = data<T>(heads.key), .value = data<T>(heads.value)},
        mutable_data<T>(rows), compute_stream());
  });
  return rows;
}

}  // namespace hetmoe::on_gpu
