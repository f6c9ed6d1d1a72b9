#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cstring>

#include "core/base/check.h"
#include "core/kernels/attention_heads.h"
#include "core/kernels/attention_packed.h"
#include "core/kernels/narrow.h"
#include "core/kernels/transpose.h"

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kQueries = kScoreQueries;
constexpr std::int64_t kPanel = PackedMatrix::kPanelColumns;

struct Workspace {
  AlignedArray<BFloat16> key, value;      ///< [length, head_dim], keys rotated
  AlignedArray<BFloat16> transposed_key;  ///< [head_dim, transposed_stride()]
  AlignedArray<BFloat16> query;           ///< [length, head_dim], rotated
  PackedMatrix query_rows, transposed_query, doutput_rows, transposed_doutput;
  AlignedArray<float> log_sum, dot;            ///< [blocks * kQueries], 0 where there is no query
  AlignedArray<float> scores, dprobabilities;  ///< [tile_rows(), kQueries]
  AlignedArray<BFloat16> probabilities, dscores;
  AlignedArray<std::uint32_t> dscore_pairs;  ///< [tile_rows() / 2, kQueries]
  AlignedArray<float> dquery_columns;        ///< [blocks, head_dim, kQueries]: transposed
  AlignedArray<float> dquery_rows;           ///< [kQueries, head_dim]
  AlignedArray<float> dkey, dvalue;          ///< [length, head_dim]

  explicit Workspace(const AttentionHeads& heads)
      : Workspace(heads, heads.shape().length * heads.shape().head_dim,
                  heads.tile_rows() * kQueries, heads.blocks() * kQueries) {}
  Workspace(const AttentionHeads& heads, std::int64_t head, std::int64_t tile, std::int64_t queries)
      : key(head),
        value(head),
        transposed_key(heads.shape().head_dim * heads.transposed_stride()),
        query(head),
        log_sum(queries),
        dot(queries),
        scores(tile),
        dprobabilities(tile),
        probabilities(tile),
        dscores(tile),
        dscore_pairs(tile / 2),
        dquery_columns(queries * heads.shape().head_dim),
        dquery_rows(kQueries * heads.shape().head_dim),
        dkey(head),
        dvalue(head) {}
};

/// One head's queries and gradients of outputs, and where they come from.
struct QueryHead {
  const BFloat16* query;    ///< of the first position, rows of qkv
  const BFloat16* output;   ///< the same of the output
  const BFloat16* doutput;  ///< and its gradient
  const float* log_sum;
};

void pack_head(Workspace& w, const AttentionHeads& heads, const QueryHead& head) {
  const AttentionShape& shape = heads.shape();
  const std::int64_t width = shape.head_dim;
  const std::int64_t stride = shape.output_width();
  rotate_rows(head.query, shape.row_width(), heads.rotation().from(0), shape.length, width,
              w.query.data(), width);
  for (PackedMatrix* rows : {&w.query_rows, &w.doutput_rows}) rows->reset(shape.length, width);
  for (PackedMatrix* columns : {&w.transposed_query, &w.transposed_doutput}) {
    columns->reset(width, shape.length);
  }
  w.query_rows.pack_rows(w.query.data(), shape.length, width, width);
  w.transposed_query.pack_columns(w.query.data(), shape.length, width, width);
  w.doutput_rows.pack_rows(head.doutput, shape.length, width, stride);
  w.transposed_doutput.pack_columns(head.doutput, shape.length, width, stride);
  const std::int64_t padding = heads.blocks() * kQueries - shape.length;
  std::copy_n(head.log_sum, shape.length, w.log_sum.data());
  row_products(head.doutput, head.output, stride, shape.length, width, w.dot.data());
  std::fill_n(w.log_sum.data() + shape.length, padding, 0.0F);
  std::fill_n(w.dot.data() + shape.length, padding, 0.0F);
}

/// sum [rows, head_dim] += a [rows, kQueries] * the block's rows of b [length, head_dim].
void add_over_queries(const BFloat16* a, const PackedMatrix& b, const QueryBlock& block,
                      std::int64_t rows, std::int64_t head_dim, float* sum) {
  const std::int64_t depth = std::min(kQueries, b.padded_depth() - block.begin);
  for (std::int64_t p = 0; p < b.panels(); ++p) {
    multiply_block(a, kQueries, rows, b.panel(p) + block.begin * kPanel, depth, sum + p * kPanel,
                   head_dim, /*add=*/true, std::min(kPanel, head_dim - p * kPanel));
  }
}

/// All that the scores of a block of queries and keys [first, first + keys) are part of.
void differentiate(Workspace& w, const AttentionHeads& heads, const QueryBlock& block,
                   std::int64_t first, std::int64_t keys) {
  const std::int64_t width = heads.shape().head_dim;
  const std::int64_t index = block.begin / kQueries;
  const ScoreTile tile = block.tile(first, keys, heads.scale());
  multiply_block(w.key.data() + first * width, width, keys, w.transposed_query.panel(index), width,
                 w.scores.data(), kQueries, /*add=*/false);
  multiply_block(w.value.data() + first * width, width, keys, w.transposed_doutput.panel(index),
                 width, w.dprobabilities.data(), kQueries, /*add=*/false);
  score_gradient_tile(
      w.scores.data(), w.dprobabilities.data(), tile, w.log_sum.data() + block.begin,
      w.dot.data() + block.begin,
      ScoreGradients{w.probabilities.data(), w.dscores.data(), w.dscore_pairs.data()});
  add_over_queries(w.probabilities.data(), w.doutput_rows, block, keys, width,
                   w.dvalue.data() + first * width);
  add_over_queries(w.dscores.data(), w.query_rows, block, keys, width,
                   w.dkey.data() + first * width);
  multiply_block(w.transposed_key.data() + first, heads.transposed_stride(), width,
                 reinterpret_cast<const BFloat16*>(w.dscore_pairs.data()), tile.padded_rows(),
                 w.dquery_columns.data() + block.begin * width, kQueries,
                 /*add=*/first > block.first_key);
}

/// Keys outside and queries inside: gradients of a tile's keys stay in the cache.
void differentiate_head(Workspace& w, const AttentionHeads& heads, std::int64_t sequence) {
  for (std::int64_t first = 0; first < heads.shape().length; first += kScoreKeys) {
    for (std::int64_t index = first / kQueries; index < heads.blocks(); ++index) {
      const QueryBlock block = heads.block(sequence, index);
      const std::int64_t begin = std::max(first, block.first_key);
      const std::int64_t end = std::min(first + kScoreKeys, block.end());
      if (begin < end) differentiate(w, heads, block, begin, end - begin);
    }
  }
}

/// Gradients of one head's queries, rotated back, into rows of the gradient of qkv.
void store_dquery(Workspace& w, const AttentionHeads& heads, BFloat16* out) {
  const std::int64_t width = heads.shape().head_dim;
  const std::int64_t stride = heads.shape().row_width();
  for (std::int64_t begin = 0; begin < heads.shape().length; begin += kQueries) {
    const std::int64_t count = std::min(kQueries, heads.shape().length - begin);
    const float* columns = w.dquery_columns.data() + begin * width;
    transpose_words(reinterpret_cast<const std::uint32_t*>(columns), width, kQueries, kQueries,
                    reinterpret_cast<std::uint32_t*>(w.dquery_rows.data()), width);
    rotate_rows_back(w.dquery_rows.data(), heads.scale(), heads.rotation().from(begin), count,
                     width, out + begin * stride, stride);
  }
}

}  // namespace

at::Tensor packed_attention_backward(const at::Tensor& doutput, const AttentionResult& saved,
                                     const AttentionShape& shape,
                                     std::span<const std::int32_t> document_begin) {
  const AttentionHeads heads(shape, document_begin);
  at::Tensor gradient = at::empty_like(saved.qkv);
  const auto* in = saved.qkv.const_data_ptr<BFloat16>();
  const auto* output = saved.output.const_data_ptr<BFloat16>();
  const auto* dout = doutput.const_data_ptr<BFloat16>();
  const auto* log_sum = saved.log_sum_exp.const_data_ptr<float>();
  auto* out = gradient.mutable_data_ptr<BFloat16>();
  const std::int64_t stride = shape.row_width();
  const std::int64_t width = shape.head_dim;

  heads.for_each_key_head<Workspace>([&](Workspace& w, std::int64_t sequence,
                                         std::int64_t key_head) {
    const std::int64_t key = heads.head_offset(sequence, shape.num_heads + key_head);
    const std::int64_t value = key + shape.num_kv_heads * width;
    rotate_rows(in + key, stride, heads.rotation().from(0), shape.length, width, w.key.data(),
                width);
    heads.transpose(w.key.data(), width, w.transposed_key.data());
    for (std::int64_t i = 0; i < shape.length; ++i) {
      std::memcpy(w.value.data() + i * width, in + value + i * stride, width * sizeof(BFloat16));
    }
    std::fill_n(w.dkey.data(), shape.length * width, 0.0F);
    std::fill_n(w.dvalue.data(), shape.length * width, 0.0F);
    for (std::int64_t i = 0; i < heads.group(); ++i) {
      const std::int64_t head = key_head * heads.group() + i;
      const std::int64_t query = heads.head_offset(sequence, head);
      const std::int64_t row = heads.output_offset(sequence, 0, head);
      pack_head(w, heads,
                {in + query, output + row, dout + row,
                 log_sum + (sequence * shape.num_heads + head) * shape.length});
      differentiate_head(w, heads, sequence);
      store_dquery(w, heads, out + query);
    }
    rotate_rows_back(w.dkey.data(), heads.scale(), heads.rotation().from(0), shape.length, width,
                     out + key, stride);
    narrow_rows(w.dvalue.data(), width, shape.length, width, out + value, stride);
  });
  return gradient;
}

}  // namespace hetmoe
