#include "core/kernels/cached_attention.h"

#include <ATen/ops/bmm.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/kernels/tensor_work.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kQueryBlock = 64;

/// scores [kv heads, group, count, keys]: the last `count` keys are those of the queries
/// themselves, which see none that comes after them.
void hide_future(const at::Tensor& scores, std::int64_t count) {
  if (count == 1) return;
  const at::Tensor later = at::ones({count, count}, scores.options().dtype(at::kBool)).triu(1);
  scores.narrow(3, scores.size(3) - count, count)
      .masked_fill_(later, -std::numeric_limits<double>::infinity());
}

}  // namespace

at::Tensor cached_attention(const at::Tensor& query, const at::Tensor& key,
                            const at::Tensor& value) {
  const std::int64_t kv_heads = key.size(0);
  const std::int64_t positions = key.size(1);
  const std::int64_t added = query.size(1);
  const std::int64_t head_dim = query.size(2);
  const std::int64_t group = query.size(0) / kv_heads;
  HETMOE_CHECK(query.size(0) == group * kv_heads && added <= positions && key.size(2) == head_dim,
               query.sizes(), " queries for keys ", key.sizes());
  const Operation operation(
      "cached attention",
      {2 * product_flops(added, query.size(0) * head_dim, positions), bytes_of(key, value)});
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  const at::Tensor scaled =
      query.to(key.scalar_type()).mul(scale).view({kv_heads, group, added, head_dim});
  at::Tensor output = at::empty_like(scaled);
  for (std::int64_t begin = 0; begin < added; begin += kQueryBlock) {
    const std::int64_t count = std::min(kQueryBlock, added - begin);
    const std::int64_t keys = positions - added + begin + count;
    // Rows of the heads that share a key head lie below one another.
    const at::Tensor rows =
        scaled.narrow(2, begin, count).reshape({kv_heads, group * count, head_dim});
    const at::Tensor scores = at::bmm(rows, key.narrow(1, 0, keys).transpose(1, 2));
    hide_future(scores.view({kv_heads, group, count, keys}), count);
    const at::Tensor mixed = at::bmm(scores.softmax(-1), value.narrow(1, 0, keys));
    output.narrow(2, begin, count).copy_(mixed.view({kv_heads, group, count, head_dim}));
  }
  return output.view({group * kv_heads, added, head_dim})
      .transpose(0, 1)
      .reshape({added, group * kv_heads * head_dim})
      .to(query.scalar_type());
}

}  // namespace hetmoe
