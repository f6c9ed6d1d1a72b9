#include <ATen/ops/empty.h>

#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/kernels/attention_heads.h"
#include "core/kernels/attention_packed.h"
#include "core/kernels/narrow.h"
#include "core/kernels/transpose.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kQueries = kScoreQueries;

struct Workspace {
  AlignedArray<BFloat16> key;               ///< [length, head_dim], rotated
  AlignedArray<BFloat16> transposed_value;  ///< [head_dim, transposed_stride()]
  AlignedArray<BFloat16> query;             ///< [kQueries, head_dim], rotated
  PackedMatrix transposed_query;            ///< [head_dim, kQueries]
  AlignedArray<float> scores;               ///< [tile_rows(), kQueries]
  AlignedArray<std::uint32_t> pairs;        ///< [tile_rows() / 2, kQueries]: probabilities
  AlignedArray<float> columns;              ///< [head_dim, kQueries]: the output, transposed
  AlignedArray<float> rows;                 ///< [kQueries, head_dim]
  RunningSoftmax softmax;

  explicit Workspace(const AttentionHeads& heads)
      : key(heads.shape().length * heads.shape().head_dim),
        transposed_value(heads.shape().head_dim * heads.transposed_stride()),
        query(kQueries * heads.shape().head_dim),
        scores(heads.tile_rows() * kQueries),
        pairs(heads.tile_rows() / 2 * kQueries),
        columns(heads.shape().head_dim * kQueries),
        rows(heads.shape().head_dim * kQueries) {}
};

HETMOE_VECTORIZED void multiply_columns(float* columns, std::int64_t rows, const float* factor) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t q = 0; q < kQueries; ++q) columns[i * kQueries + q] *= factor[q];
  }
}

/// Leaves the block's output, transposed and not normalised, in w.columns.
void attend(Workspace& w, const AttentionHeads& heads, const QueryBlock& block) {
  const std::int64_t width = heads.shape().head_dim;
  w.softmax.reset();
  for (std::int64_t first = block.first_key; first < block.end(); first += kScoreKeys) {
    const ScoreTile tile =
        block.tile(first, std::min(kScoreKeys, block.end() - first), heads.scale());
    multiply_block(w.key.data() + first * width, width, tile.keys, w.transposed_query.panel(0),
                   width, w.scores.data(), kQueries, /*add=*/false);
    softmax_tile(w.scores.data(), tile, w.softmax, w.pairs.data());
    const bool add = first > block.first_key;
    if (add) multiply_columns(w.columns.data(), width, w.softmax.correction);
    multiply_block(w.transposed_value.data() + first, heads.transposed_stride(), width,
                   reinterpret_cast<const BFloat16*>(w.pairs.data()), tile.padded_rows(),
                   w.columns.data(), kQueries, add);
  }
}

/// Normalised rows, the outputs of one head, and the logarithms of the sums.
void finish(Workspace& w, const AttentionHeads& heads, const QueryBlock& block, BFloat16* output,
            float* log_sum) {
  const std::int64_t width = heads.shape().head_dim;
  float factor[kQueries];
  for (std::int64_t i = 0; i < kQueries; ++i) {
    // All scores that it sees are -inf: no softmax exists, as in the plain form.
    if (w.softmax.peak[i] == std::numeric_limits<float>::lowest()) {
      w.softmax.sum[i] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  for (std::int64_t i = 0; i < kQueries; ++i) factor[i] = 1.0F / w.softmax.sum[i];
  multiply_columns(w.columns.data(), width, factor);
  transpose_words(reinterpret_cast<const std::uint32_t*>(w.columns.data()), width, kQueries,
                  kQueries, reinterpret_cast<std::uint32_t*>(w.rows.data()), width);
  narrow_rows(w.rows.data(), width, block.count, width, output, heads.shape().output_width());
  for (std::int64_t i = 0; i < block.count; ++i) {
    log_sum[i] = w.softmax.peak[i] * heads.scale() + std::log(w.softmax.sum[i]);
  }
}

}  // namespace

at::Tensor packed_attention_forward(const at::Tensor& qkv, const AttentionShape& shape,
                                    std::span<const std::int32_t> document_begin,
                                    at::Tensor& log_sum_exp) {
  HETMOE_CHECK(qkv.is_contiguous() && qkv.size(1) == shape.row_width(), "row width ", qkv.size(1),
               ", expected ", shape.row_width());
  const AttentionHeads heads(shape, document_begin);
  at::Tensor rows =
      at::empty({shape.sequences * shape.length, shape.output_width()}, qkv.options());
  const auto* in = qkv.const_data_ptr<BFloat16>();
  auto* out = rows.mutable_data_ptr<BFloat16>();
  auto* log_sum = log_sum_exp.mutable_data_ptr<float>();
  const std::int64_t stride = shape.row_width();
  const std::int64_t width = shape.head_dim;

  heads.for_each_key_head<Workspace>([&](Workspace& w, std::int64_t sequence,
                                         std::int64_t key_head) {
    const BFloat16* key = in + heads.head_offset(sequence, shape.num_heads + key_head);
    rotate_rows(key, stride, heads.rotation().from(0), shape.length, width, w.key.data(), width);
    heads.transpose(key + shape.num_kv_heads * width, stride, w.transposed_value.data());
    for (std::int64_t index = 0; index < heads.blocks(); ++index) {
      const QueryBlock block = heads.block(sequence, index);
      for (std::int64_t i = 0; i < heads.group(); ++i) {
        const std::int64_t head = key_head * heads.group() + i;
        rotate_rows(in + heads.head_offset(sequence, head) + block.begin * stride, stride,
                    heads.rotation().from(block.begin), block.count, width, w.query.data(), width);
        w.transposed_query.reset(width, block.count);
        w.transposed_query.pack_columns(w.query.data(), block.count, width, width);
        heads.prefetch_next(in, sequence, head, block);
        BFloat16* output = out + heads.output_offset(sequence, block.begin, head);
        prefetch_rows</*kWrite=*/true>(output, shape.output_width(), block.count, width);
        attend(w, heads, block);
        finish(w, heads, block, output,
               log_sum + (sequence * shape.num_heads + head) * shape.length + block.begin);
      }
    }
  });
  return rows;
}

}  // namespace hetmoe
