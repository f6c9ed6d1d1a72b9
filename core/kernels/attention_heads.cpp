#include "core/kernels/attention_heads.h"

#include <cmath>
#include <cstring>

#include "core/kernels/attention_packed.h"
#include "core/kernels/transpose.h"

namespace hetmoe {

bool can_pack_attention(const at::Tensor& qkv, const AttentionShape& shape) {
  return qkv.scalar_type() == at::kBFloat16 && shape.head_dim % PackedMatrix::kDepthMultiple == 0 &&
         packed_products_available();
}

AttentionHeads::AttentionHeads(const AttentionShape& shape,
                               std::span<const std::int32_t> document_begin)
    : shape_(shape),
      document_begin_(document_begin),
      scale_(static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.head_dim)))),
      rotation_(shape) {}

QueryBlock AttentionHeads::block(std::int64_t sequence, std::int64_t index) const {
  QueryBlock block;
  block.begin = index * kScoreQueries;
  block.count = std::min(kScoreQueries, shape_.length - block.begin);
  std::int32_t lowest = static_cast<std::int32_t>(block.begin);
  for (std::int64_t i = 0; i < kScoreQueries; ++i) {
    const std::int64_t position = block.begin + std::min(i, block.count - 1);
    block.first_seen[i] =
        document_begin_.empty() ? 0 : document_begin_[sequence * shape_.length + position];
    block.last_seen[i] = static_cast<std::int32_t>(position);
    lowest = std::min(lowest, block.first_seen[i]);
  }
  block.first_key = lowest / kScoreQueries * kScoreQueries;
  return block;
}

void AttentionHeads::prefetch_next(const c10::BFloat16* qkv, std::int64_t sequence,
                                   std::int64_t head, const QueryBlock& block) const {
  head = (head + 1) % shape_.num_heads;
  if (head == 0) sequence = std::min(sequence + 1, shape_.sequences - 1);
  const std::int64_t key = shape_.num_heads + head / group();
  for (const std::int64_t index : {head, key, key + shape_.num_kv_heads}) {
    prefetch_rows(qkv + head_offset(sequence, index) + block.begin * shape_.row_width(),
                  shape_.row_width(), block.count, shape_.head_dim);
  }
}

void AttentionHeads::transpose(const c10::BFloat16* rows, std::int64_t stride,
                               c10::BFloat16* target) const {
  const std::int64_t length = shape_.length;
  transpose_bfloat16(rows, length, shape_.head_dim, stride, target, transposed_stride());
  const std::int64_t padding = round_up(length, PackedMatrix::kDepthMultiple) - length;
  for (std::int64_t i = 0; i < shape_.head_dim && padding > 0; ++i) {
    std::memset(target + i * transposed_stride() + length, 0, padding * sizeof(c10::BFloat16));
  }
}

}  // namespace hetmoe
