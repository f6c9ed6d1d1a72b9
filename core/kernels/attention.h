#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace hetmoe {

/// Sizes of one attention call. T = sequences * length rows; a row of qkv holds num_heads query
/// heads, then num_kv_heads key heads, then num_kv_heads value heads, each head_dim wide.
struct AttentionShape {
  std::int64_t sequences = 0;
  std::int64_t length = 0;
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t head_dim = 0;
  double rope_theta = 10000;
  at::Tensor rotary_table;  ///< [2 * length * head_dim / 2], fp32: cosines, sines; on a GPU only

  std::int64_t row_width() const { return (num_heads + 2 * num_kv_heads) * head_dim; }
  std::int64_t output_width() const { return num_heads * head_dim; }
};

/// What the backward pass needs again: what came in, or the heads made of it.
struct AttentionResult {
  at::Tensor output;       ///< [T, num_heads * head_dim]
  at::Tensor qkv;          ///< the argument itself, which must not change; else undefined
  at::Tensor query;        ///< [sequences * num_heads, length, head_dim], rotated; else undefined
  at::Tensor key;          ///< [sequences * num_kv_heads, length, head_dim], rotated
  at::Tensor value;        ///< like key
  at::Tensor log_sum_exp;  ///< [sequences * num_heads, length], fp32 (fp64): of the scaled scores
};

/// Rotary position embedding (halves rotated, as Hugging Face's LLaMA does) and causal softmax
/// attention with grouped key/value heads.
/// document_begin [T]: position within the sequence of the first token that a row may attend to;
/// empty means 0 everywhere. Softmax in fp32 (fp64). Scores exist for one block of queries at a
/// time: memory grows with length, not with its square.
AttentionResult attention_forward(const at::Tensor& qkv, const AttentionShape& shape,
                                  std::span<const std::int32_t> document_begin);

/// Gives the gradient of qkv, [T, row_width], with the rotation undone.
at::Tensor attention_backward(const at::Tensor& doutput, const AttentionResult& saved,
                              const AttentionShape& shape,
                              std::span<const std::int32_t> document_begin);

}  // namespace hetmoe
