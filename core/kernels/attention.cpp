#include "core/kernels/attention.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/base/check.h"
#include "core/kernels/attention_packed.h"
#include "core/kernels/rotary.h"
#include "core/kernels/tensor_work.h"
#include "core/kernels/vector_math.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kQueryBlock = 64;

/// One block of queries of all heads. Query rows of the heads that share a key head lie below one
/// another: scores [sequences * num_kv_heads, group * count, keys].
struct Block {
  std::int64_t begin = 0;  ///< first query position
  std::int64_t count = 0;
  std::int64_t keys() const { return begin + count; }
};

/// [sequences * num_heads, length, head_dim] -> [sequences * num_kv_heads, group * count,
/// head_dim].
at::Tensor block_of_queries(const at::Tensor& heads, const AttentionShape& shape, Block block) {
  const std::int64_t group = shape.num_heads / shape.num_kv_heads;
  const std::int64_t kv_heads = shape.sequences * shape.num_kv_heads;
  return heads.view({kv_heads, group, shape.length, shape.head_dim})
      .narrow(2, block.begin, block.count)
      .reshape({kv_heads, group * block.count, shape.head_dim});
}

/// The same rows of `heads`, written.
void store_block(at::Tensor& heads, const at::Tensor& values, const AttentionShape& shape,
                 Block block) {
  const std::int64_t group = shape.num_heads / shape.num_kv_heads;
  const std::int64_t kv_heads = shape.sequences * shape.num_kv_heads;
  heads.view({kv_heads, group, shape.length, shape.head_dim})
      .narrow(2, block.begin, block.count)
      .copy_(values.view({kv_heads, group, block.count, shape.head_dim}));
}

struct RowRange {
  std::int64_t head;      ///< index of the query head over all sequences
  std::int64_t position;  ///< query position in its sequence
  std::int64_t first;     ///< first key that may be attended to
};

RowRange row_range(std::int64_t row, const AttentionShape& shape, Block block,
                   std::span<const std::int32_t> document_begin) {
  const std::int64_t head = row / block.count;  // (sequence, kv head, group) flattened
  const std::int64_t position = block.begin + row % block.count;
  const std::int64_t sequence = head / shape.num_heads;
  const std::int64_t first =
      document_begin.empty() ? 0 : document_begin[sequence * shape.length + position];
  return {head, position, first};
}

constexpr int kLanes = 16;

/// Turns a row of raw scores into probabilities of keys [first, end); others become 0.
/// Gives log(sum(exp(scale * score))).
template <typename T>
HETMOE_INLINE T softmax_body(T* row, std::int64_t first, std::int64_t end, std::int64_t keys,
                             double scale_in) {
  const T scale = static_cast<T>(scale_in);
  T lane[kLanes];
  for (T& value : lane) value = -std::numeric_limits<T>::infinity();
  std::int64_t j = first;
  for (; j + kLanes <= end; j += kLanes) {
    for (int i = 0; i < kLanes; ++i) {
      const T score = row[j + i] * scale;
      lane[i] = score > lane[i] ? score : lane[i];
    }
  }
  T peak = -std::numeric_limits<T>::infinity();
  for (int i = 0; i < kLanes; ++i) peak = lane[i] > peak ? lane[i] : peak;
  for (; j < end; ++j) peak = row[j] * scale > peak ? row[j] * scale : peak;
  for (T& value : lane) value = 0;
  j = first;
  for (; j + kLanes <= end; j += kLanes) {
    for (int i = 0; i < kLanes; ++i) lane[i] += exponential_below_peak(row[j + i] * scale - peak);
  }
  T sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += lane[i];
  for (; j < end; ++j) sum += exponential_below_peak(row[j] * scale - peak);
  const T log_sum = peak + std::log(sum);
  for (j = 0; j < first; ++j) row[j] = T(0);
  for (j = first; j < end; ++j) row[j] = exponential_below_peak(row[j] * scale - log_sum);
  for (j = end; j < keys; ++j) row[j] = T(0);
  return log_sum;
}

/// Scores become probabilities p again and dprobabilities becomes p * (dp - dot) * scale, for keys
/// [first, end); others become 0.
template <typename T>
HETMOE_INLINE void score_gradient_body(T* scores, T* dprobabilities, std::int64_t first,
                                       std::int64_t end, std::int64_t keys, double scale_in,
                                       T log_sum, T dot) {
  const T scale = static_cast<T>(scale_in);
  for (std::int64_t j = 0; j < first; ++j) scores[j] = dprobabilities[j] = T(0);
  for (std::int64_t j = first; j < end; ++j) {
    const T p = exponential_below_peak(scores[j] * scale - log_sum);
    scores[j] = p;
    dprobabilities[j] = p * (dprobabilities[j] - dot) * scale;
  }
  for (std::int64_t j = end; j < keys; ++j) scores[j] = dprobabilities[j] = T(0);
}

HETMOE_VECTORIZED float softmax_row(float* row, std::int64_t first, std::int64_t end,
                                    std::int64_t keys, double scale) {
  return softmax_body(row, first, end, keys, scale);
}
HETMOE_VECTORIZED double softmax_row(double* row, std::int64_t first, std::int64_t end,
                                     std::int64_t keys, double scale) {
  return softmax_body(row, first, end, keys, scale);
}
HETMOE_VECTORIZED void score_gradient_row(float* s, float* d, std::int64_t first, std::int64_t end,
                                          std::int64_t keys, double scale, float log_sum,
                                          float dot) {
  score_gradient_body(s, d, first, end, keys, scale, log_sum, dot);
}
HETMOE_VECTORIZED void score_gradient_row(double* s, double* d, std::int64_t first,
                                          std::int64_t end, std::int64_t keys, double scale,
                                          double log_sum, double dot) {
  score_gradient_body(s, d, first, end, keys, scale, log_sum, dot);
}

at::ScalarType arithmetic_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// Scores of one block become probabilities; log_sum_exp is written.
void softmax_block(at::Tensor& scores, const AttentionShape& shape, Block block,
                   std::span<const std::int32_t> document_begin, at::Tensor& log_sum_exp) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  const std::int64_t rows = scores.size(0) * scores.size(1);
  AT_DISPATCH_FLOATING_TYPES(scores.scalar_type(), "softmax_block", [&] {
    auto* p = scores.mutable_data_ptr<scalar_t>();
    auto* l = log_sum_exp.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, rows, 32, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const RowRange range = row_range(row, shape, block, document_begin);
        l[range.head * shape.length + range.position] = softmax_row(
            p + row * block.keys(), range.first, range.position + 1, block.keys(), scale);
      }
    });
  });
}

/// Recomputes probabilities in place of scores and turns dprobabilities into
/// dscores = p * (dp - row_dot) * scale.
void score_gradient_block(at::Tensor& scores, at::Tensor& dprobabilities, const at::Tensor& row_dot,
                          const AttentionShape& shape, Block block,
                          std::span<const std::int32_t> document_begin,
                          const at::Tensor& log_sum_exp) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
  const std::int64_t rows = scores.size(0) * scores.size(1);
  AT_DISPATCH_FLOATING_TYPES(scores.scalar_type(), "score_gradient", [&] {
    auto* ps = scores.mutable_data_ptr<scalar_t>();
    auto* pd = dprobabilities.mutable_data_ptr<scalar_t>();
    const auto* dot = row_dot.const_data_ptr<scalar_t>();
    const auto* l = log_sum_exp.const_data_ptr<scalar_t>();
    at::parallel_for(0, rows, 32, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const RowRange range = row_range(row, shape, block, document_begin);
        const std::int64_t index = range.head * shape.length + range.position;
        score_gradient_row(ps + row * block.keys(), pd + row * block.keys(), range.first,
                           range.position + 1, block.keys(), scale, l[index], dot[index]);
      }
    });
  });
}

template <typename Body>
void for_each_block(const AttentionShape& shape, Body body) {
  for (std::int64_t begin = 0; begin < shape.length; begin += kQueryBlock) {
    body(Block{begin, std::min(kQueryBlock, shape.length - begin)});
  }
}

at::Tensor heads_to_rows(const at::Tensor& heads, const AttentionShape& shape) {
  return heads.view({shape.sequences, shape.num_heads, shape.length, shape.head_dim})
      .transpose(1, 2)
      .reshape({shape.sequences * shape.length, shape.output_width()});
}

at::Tensor rows_to_heads(const at::Tensor& rows, const AttentionShape& shape) {
  return rows.view({shape.sequences, shape.length, shape.num_heads, shape.head_dim})
      .transpose(1, 2)
      .reshape({shape.sequences * shape.num_heads, shape.length, shape.head_dim});
}

/// Products by at::bmm, any type; bf16 heads are widened, so that scores are never rounded.
at::Tensor general_forward(const RotatedHeads& heads, const AttentionShape& shape,
                           std::span<const std::int32_t> document_begin, at::Tensor& log_sum_exp) {
  const auto wide = arithmetic_type(heads.query);
  const at::Tensor query = heads.query.to(wide);
  const at::Tensor key = heads.key.to(wide);
  const at::Tensor value = heads.value.to(wide);
  at::Tensor output = at::empty_like(query);
  for_each_block(shape, [&](Block block) {
    const at::Tensor q = block_of_queries(query, shape, block);
    at::Tensor scores = at::bmm(q, key.narrow(1, 0, block.keys()).transpose(1, 2));
    softmax_block(scores, shape, block, document_begin, log_sum_exp);
    store_block(output, at::bmm(scores, value.narrow(1, 0, block.keys())), shape, block);
  });
  return heads_to_rows(output.to(heads.query.scalar_type()), shape);
}

RotatedHeads general_backward(const at::Tensor& doutput_rows, const AttentionResult& saved,
                              const AttentionShape& shape,
                              std::span<const std::int32_t> document_begin) {
  const auto wide = arithmetic_type(doutput_rows);
  const at::Tensor doutput = rows_to_heads(doutput_rows, shape).to(wide);
  const at::Tensor output = rows_to_heads(saved.output, shape).to(wide);
  const at::Tensor query = saved.query.to(wide);
  const at::Tensor key = saved.key.to(wide);
  const at::Tensor value = saved.value.to(wide);
  const at::Tensor row_dot = doutput.mul(output).sum(-1).contiguous();
  at::Tensor dquery = at::empty_like(query);
  at::Tensor dkey = at::zeros_like(key);
  at::Tensor dvalue = at::zeros_like(value);
  for_each_block(shape, [&](Block block) {
    const at::Tensor q = block_of_queries(query, shape, block);
    const at::Tensor d = block_of_queries(doutput, shape, block);
    const at::Tensor k = key.narrow(1, 0, block.keys());
    at::Tensor scores = at::bmm(q, k.transpose(1, 2));
    at::Tensor dscores = at::bmm(d, value.narrow(1, 0, block.keys()).transpose(1, 2));
    score_gradient_block(scores, dscores, row_dot, shape, block, document_begin, saved.log_sum_exp);
    store_block(dquery, at::bmm(dscores, k), shape, block);
    dkey.narrow(1, 0, block.keys()).add_(at::bmm(dscores.transpose(1, 2), q));
    dvalue.narrow(1, 0, block.keys()).add_(at::bmm(scores.transpose(1, 2), d));
  });
  const auto type = saved.key.scalar_type();
  return {dquery.to(type), dkey.to(type), dvalue.to(type)};
}

/// Of the causal half: scores, and values weighted by them.
double forward_flops(const AttentionShape& shape) {
  return product_flops(shape.sequences * shape.length, shape.output_width(), shape.length);
}

}  // namespace

AttentionResult attention_forward(const at::Tensor& qkv, const AttentionShape& shape,
                                  std::span<const std::int32_t> document_begin) {
  const Operation operation("attention", {forward_flops(shape), 2 * bytes_of(qkv)});
  AttentionResult result;
  result.log_sum_exp = at::empty({shape.sequences * shape.num_heads, shape.length},
                                 qkv.options().dtype(arithmetic_type(qkv)));
  if (can_pack_attention(qkv, shape)) {
    result.output = packed_attention_forward(qkv, shape, document_begin, result.log_sum_exp);
    result.qkv = qkv;
    return result;
  }
  RotatedHeads heads = split_and_rotate(qkv, shape);
  result.output = general_forward(heads, shape, document_begin, result.log_sum_exp);
  result.query = std::move(heads.query);
  result.key = std::move(heads.key);
  result.value = std::move(heads.value);
  return result;
}

at::Tensor attention_backward(const at::Tensor& doutput, const AttentionResult& saved,
                              const AttentionShape& shape,
                              std::span<const std::int32_t> document_begin) {
  const double row_bytes = static_cast<double>(shape.row_width()) *
                           static_cast<double>(doutput.element_size() * doutput.size(0));
  const Operation operation("attention",
                            {2 * forward_flops(shape), 2 * (row_bytes + bytes_of(doutput))});
  HETMOE_CHECK(doutput.is_contiguous(), "gradient with strides");
  if (saved.qkv.defined()) {
    return packed_attention_backward(doutput, saved, shape, document_begin);
  }
  return rotate_back_and_join(general_backward(doutput, saved, shape, document_begin), shape);
}

}  // namespace hetmoe
