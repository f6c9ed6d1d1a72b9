#include "core/kernels/attention_packed.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/kernels/narrow.h"
#include "core/kernels/packed_product.h"
#include "core/kernels/transpose.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

using c10::BFloat16;
constexpr std::int64_t kPanel = PackedMatrix::kPanelColumns;
constexpr std::int64_t kQueries = 64;  ///< rows of a block
constexpr int kLanes = 16;

struct KeyRange {
  std::int64_t first;  ///< first key that the query may attend to
  std::int64_t end;
};

/// probabilities[j] = exp(scale * (score[j] - peak)), not normalised, 0 outside of the range.
/// Gives their sum; peak becomes the largest score.
HETMOE_VECTORIZED float exponentials(const float* score, BFloat16* probability, KeyRange keys,
                                     std::int64_t padded, float scale, float& peak) {
  float lane[kLanes];
  for (float& value : lane) value = -std::numeric_limits<float>::infinity();
  std::int64_t j = keys.first;
  for (; j + kLanes <= keys.end; j += kLanes) {
    for (int i = 0; i < kLanes; ++i) lane[i] = score[j + i] > lane[i] ? score[j + i] : lane[i];
  }
  peak = -std::numeric_limits<float>::infinity();
  for (int i = 0; i < kLanes; ++i) peak = lane[i] > peak ? lane[i] : peak;
  for (; j < keys.end; ++j) peak = score[j] > peak ? score[j] : peak;
  for (float& value : lane) value = 0;
  for (j = keys.first; j + kLanes <= keys.end; j += kLanes) {
    for (int i = 0; i < kLanes; ++i) {
      const float value = exponential_below_peak((score[j + i] - peak) * scale);
      lane[i] += value;
      probability[j + i] = narrow_to_bfloat16(value);
    }
  }
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += lane[i];
  for (; j < keys.end; ++j) {
    const float value = exponential_below_peak((score[j] - peak) * scale);
    sum += value;
    probability[j] = narrow_to_bfloat16(value);
  }
  std::memset(probability, 0, keys.first * sizeof(BFloat16));
  std::memset(probability + keys.end, 0, (padded - keys.end) * sizeof(BFloat16));
  return sum;
}

/// probability = exp(scale * score - log_sum) and dscore = probability * (dprobability - dot) *
/// scale, 0 outside of the range.
HETMOE_VECTORIZED void probability_gradients(const float* score, const float* dprobability,
                                             BFloat16* probability, BFloat16* dscore, KeyRange keys,
                                             std::int64_t padded, float scale, float log_sum,
                                             float dot) {
  for (std::int64_t j = keys.first; j < keys.end; ++j) {
    const float p = exponential_below_peak(score[j] * scale - log_sum);
    probability[j] = narrow_to_bfloat16(p);
    dscore[j] = narrow_to_bfloat16(p * (dprobability[j] - dot) * scale);
  }
  for (BFloat16* row : {probability, dscore}) {
    std::memset(row, 0, keys.first * sizeof(BFloat16));
    std::memset(row + keys.end, 0, (padded - keys.end) * sizeof(BFloat16));
  }
}

HETMOE_VECTORIZED float inner_product(const BFloat16* a, const BFloat16* b, std::int64_t count) {
  float lane[kLanes] = {};  // count is a multiple of 32
  for (std::int64_t i = 0; i < count; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) lane[j] += widen(a[i + j]) * widen(b[i + j]);
  }
  float sum = 0;
  for (int j = 0; j < kLanes; ++j) sum += lane[j];
  return sum;
}

/// One block of queries of one head.
struct Block {
  std::int64_t begin;  ///< first query position
  std::int64_t count;
  std::int64_t panels() const { return round_up(begin + count, kPanel) / kPanel; }
};

/// What all tasks read.
struct Problem {
  const AttentionShape& shape;
  std::span<const std::int32_t> document_begin;
  float scale;

  Problem(const AttentionShape& shape_in, std::span<const std::int32_t> document_begin_in)
      : shape(shape_in),
        document_begin(document_begin_in),
        scale(static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape_in.head_dim)))) {}

  KeyRange keys(std::int64_t sequence, std::int64_t position) const {
    return {document_begin.empty() ? 0 : document_begin[sequence * shape.length + position],
            position + 1};
  }
  std::int64_t group() const { return shape.num_heads / shape.num_kv_heads; }
  std::int64_t head_elements() const { return shape.length * shape.head_dim; }
  /// Offset of a row of one head in [T, num_heads * head_dim].
  std::int64_t row_offset(std::int64_t sequence, std::int64_t position, std::int64_t head) const {
    return (sequence * shape.length + position) * shape.output_width() + head * shape.head_dim;
  }
  template <typename Body>
  void for_each_block(Body body) const {
    for (std::int64_t begin = 0; begin < shape.length; begin += kQueries) {
      body(Block{begin, std::min(kQueries, shape.length - begin)});
    }
  }
  /// Calls body(sequence, key head) for all of them, in parallel.
  template <typename Workspace, typename Body>
  void for_each_key_head(Body body) const {
    at::parallel_for(0, shape.sequences * shape.num_kv_heads, 1,
                     [&](std::int64_t begin, std::int64_t end) {
                       Workspace workspace(shape);
                       for (std::int64_t i = begin; i < end; ++i) {
                         body(workspace, i / shape.num_kv_heads, i % shape.num_kv_heads);
                       }
                       end_of_blocks();
                     });
  }
};

/// Columns of a score buffer: keys up to whole panels.
std::int64_t padded_keys(const AttentionShape& shape) { return round_up(shape.length, kPanel); }

/// out [count, 64 * panels] = a [count, head_dim] * b.
void multiply_panels(const BFloat16* a, std::int64_t a_stride, const Block& block,
                     const PackedMatrix& b, float* out, std::int64_t out_stride) {
  for (std::int64_t p = 0; p < block.panels(); ++p) {
    multiply_block(a, a_stride, block.count, b.panel(p), b.padded_depth(), out + p * kPanel,
                   out_stride, /*add=*/false);
  }
}

/// out [count, head_dim] = a [count, keys] * b [keys, head_dim].
void multiply_keys(const BFloat16* a, std::int64_t a_stride, const Block& block,
                   const PackedMatrix& b, std::int64_t head_dim, float* out) {
  const std::int64_t depth = std::min(block.panels() * kPanel, b.padded_depth());
  for (std::int64_t p = 0; p < b.panels(); ++p) {
    multiply_block(a, a_stride, block.count, b.panel(p), depth, out + p * kPanel, head_dim,
                   /*add=*/false, std::min(kPanel, head_dim - p * kPanel));
  }
}

struct ForwardWorkspace {
  PackedMatrix transposed_key, value;
  std::vector<float> scores, output;
  std::vector<BFloat16> probabilities;

  explicit ForwardWorkspace(const AttentionShape& shape)
      : scores(kQueries * padded_keys(shape)),
        output(kQueries * shape.head_dim),
        probabilities(kQueries * padded_keys(shape)) {}
};

struct BackwardWorkspace {
  PackedMatrix transposed_key, transposed_value, key, query, doutput;
  std::vector<float> scores, dprobabilities, dquery, dkey, dvalue;
  std::vector<BFloat16> probabilities, dscores, transposed;

  explicit BackwardWorkspace(const AttentionShape& shape)
      : scores(kQueries * padded_keys(shape)),
        dprobabilities(scores.size()),
        dquery(kQueries * shape.head_dim),
        dkey(padded_keys(shape) * shape.head_dim),
        dvalue(dkey.size()),
        probabilities(scores.size()),
        dscores(scores.size()),
        transposed(scores.size()) {}
};

void pack_transposed(PackedMatrix& matrix, const BFloat16* rows, const AttentionShape& shape) {
  matrix.reset(shape.head_dim, shape.length);
  matrix.pack_columns(rows, shape.length, shape.head_dim, shape.head_dim);
}

void pack(PackedMatrix& matrix, const BFloat16* rows, std::int64_t count, std::int64_t stride,
          std::int64_t head_dim) {
  matrix.reset(count, head_dim);
  matrix.pack_rows(rows, count, head_dim, stride);
}

/// sum [keys, head_dim] += a^T b for a [count, keys], b [count, head_dim].
void add_transposed_product(const BFloat16* a, std::int64_t a_stride, const Block& block,
                            const PackedMatrix& b, std::int64_t head_dim, BFloat16* transposed,
                            float* sum) {
  const std::int64_t keys = block.panels() * kPanel;
  if (block.count < kQueries) std::memset(transposed, 0, keys * kQueries * sizeof(BFloat16));
  transpose_bfloat16(a, block.count, keys, a_stride, transposed, kQueries);
  for (std::int64_t row = 0; row < keys; row += kPanel) {
    for (std::int64_t p = 0; p < b.panels(); ++p) {
      multiply_block(transposed + row * kQueries, kQueries, kPanel, b.panel(p), b.padded_depth(),
                     sum + row * head_dim + p * kPanel, head_dim, /*add=*/true,
                     std::min(kPanel, head_dim - p * kPanel));
    }
  }
}

void narrow_values(const float* in, std::int64_t count, BFloat16* out, float factor = 1.0F) {
  narrow_rows(in, count, 1, count, out, count, factor);
}

const BFloat16* data(const at::Tensor& tensor) { return tensor.const_data_ptr<BFloat16>(); }

}  // namespace

bool can_pack_attention(const at::Tensor& heads, const AttentionShape& shape) {
  return heads.scalar_type() == at::kBFloat16 &&
         shape.head_dim % PackedMatrix::kDepthMultiple == 0 && packed_products_available();
}

at::Tensor packed_attention_forward(const RotatedHeads& heads, const AttentionShape& shape,
                                    std::span<const std::int32_t> document_begin,
                                    at::Tensor& log_sum_exp) {
  const Problem problem(shape, document_begin);
  at::Tensor rows =
      at::empty({shape.sequences * shape.length, shape.output_width()}, heads.query.options());
  auto* out = rows.mutable_data_ptr<BFloat16>();
  auto* log_sum = log_sum_exp.mutable_data_ptr<float>();
  const std::int64_t stride = padded_keys(shape);

  const auto attend = [&](ForwardWorkspace& w, std::int64_t sequence, std::int64_t head,
                          Block block) {
    const std::int64_t index = sequence * shape.num_heads + head;
    multiply_panels(
        data(heads.query) + index * problem.head_elements() + block.begin * shape.head_dim,
        shape.head_dim, block, w.transposed_key, w.scores.data(), stride);
    float inverse_sum[kQueries];
    for (std::int64_t i = 0; i < block.count; ++i) {
      float peak;
      const float sum = exponentials(
          w.scores.data() + i * stride, w.probabilities.data() + i * stride,
          problem.keys(sequence, block.begin + i), block.panels() * kPanel, problem.scale, peak);
      inverse_sum[i] = 1.0F / sum;
      log_sum[index * shape.length + block.begin + i] = peak * problem.scale + std::log(sum);
    }
    multiply_keys(w.probabilities.data(), stride, block, w.value, shape.head_dim, w.output.data());
    for (std::int64_t i = 0; i < block.count; ++i) {
      narrow_values(w.output.data() + i * shape.head_dim, shape.head_dim,
                    out + problem.row_offset(sequence, block.begin + i, head), inverse_sum[i]);
    }
  };

  problem.for_each_key_head<ForwardWorkspace>(
      [&](ForwardWorkspace& w, std::int64_t sequence, std::int64_t key_head) {
        const std::int64_t offset =
            (sequence * shape.num_kv_heads + key_head) * problem.head_elements();
        pack_transposed(w.transposed_key, data(heads.key) + offset, shape);
        pack(w.value, data(heads.value) + offset, shape.length, shape.head_dim, shape.head_dim);
        for (std::int64_t i = 0; i < problem.group(); ++i) {
          problem.for_each_block(
              [&](Block block) { attend(w, sequence, key_head * problem.group() + i, block); });
        }
      });
  return rows;
}

RotatedHeads packed_attention_backward(const at::Tensor& doutput, const AttentionResult& saved,
                                       const AttentionShape& shape,
                                       std::span<const std::int32_t> document_begin) {
  const Problem problem(shape, document_begin);
  RotatedHeads gradient{at::empty_like(saved.query), at::empty_like(saved.key),
                        at::empty_like(saved.value)};
  auto* dquery = gradient.query.mutable_data_ptr<BFloat16>();
  auto* dkey = gradient.key.mutable_data_ptr<BFloat16>();
  auto* dvalue = gradient.value.mutable_data_ptr<BFloat16>();
  const auto* log_sum = saved.log_sum_exp.const_data_ptr<float>();
  const std::int64_t stride = padded_keys(shape);
  const std::int64_t width = shape.head_dim;

  const auto differentiate = [&](BackwardWorkspace& w, std::int64_t sequence, std::int64_t head,
                                 Block block) {
    const std::int64_t index = sequence * shape.num_heads + head;
    const std::int64_t query = index * problem.head_elements() + block.begin * width;
    const std::int64_t first_row = problem.row_offset(sequence, block.begin, head);
    const BFloat16* d = data(doutput) + first_row;
    multiply_panels(data(saved.query) + query, width, block, w.transposed_key, w.scores.data(),
                    stride);
    multiply_panels(d, shape.output_width(), block, w.transposed_value, w.dprobabilities.data(),
                    stride);
    for (std::int64_t i = 0; i < block.count; ++i) {
      const std::int64_t row = i * shape.output_width();
      probability_gradients(w.scores.data() + i * stride, w.dprobabilities.data() + i * stride,
                            w.probabilities.data() + i * stride, w.dscores.data() + i * stride,
                            problem.keys(sequence, block.begin + i), block.panels() * kPanel,
                            problem.scale, log_sum[index * shape.length + block.begin + i],
                            inner_product(d + row, data(saved.output) + first_row + row, width));
    }
    multiply_keys(w.dscores.data(), stride, block, w.key, width, w.dquery.data());
    narrow_values(w.dquery.data(), block.count * width, dquery + query);
    pack(w.query, data(saved.query) + query, block.count, width, width);
    pack(w.doutput, d, block.count, shape.output_width(), width);
    add_transposed_product(w.dscores.data(), stride, block, w.query, width, w.transposed.data(),
                           w.dkey.data());
    add_transposed_product(w.probabilities.data(), stride, block, w.doutput, width,
                           w.transposed.data(), w.dvalue.data());
  };

  problem.for_each_key_head<BackwardWorkspace>(
      [&](BackwardWorkspace& w, std::int64_t sequence, std::int64_t key_head) {
        const std::int64_t offset =
            (sequence * shape.num_kv_heads + key_head) * problem.head_elements();
        pack_transposed(w.transposed_key, data(saved.key) + offset, shape);
        pack_transposed(w.transposed_value, data(saved.value) + offset, shape);
        pack(w.key, data(saved.key) + offset, shape.length, width, width);
        std::fill(w.dkey.begin(), w.dkey.end(), 0.0F);
        std::fill(w.dvalue.begin(), w.dvalue.end(), 0.0F);
        for (std::int64_t i = 0; i < problem.group(); ++i) {
          problem.for_each_block([&](Block block) {
            differentiate(w, sequence, key_head * problem.group() + i, block);
          });
        }
        narrow_values(w.dkey.data(), problem.head_elements(), dkey + offset);
        narrow_values(w.dvalue.data(), problem.head_elements(), dvalue + offset);
      });
  return gradient;
}

}  // namespace hetmoe
