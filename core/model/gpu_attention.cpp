#include "core/model/gpu_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>

#include "core/kernels/rotary.h"
#include "core/tensor/device.h"

namespace hetmoe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Shape final : torch::CustomClassHolder {
  explicit Shape(AttentionShape value_in) : value(std::move(value_in)) {}
  AttentionShape value;
};

/// qkv [T, row_width] -> query, key, value by head.
struct SplitAndRotate : torch::autograd::Function<SplitAndRotate> {
  static variable_list forward(AutogradContext* context, const at::Tensor& qkv,
                               const AttentionShape& shape) {
    context->saved_data["shape"] = at::IValue::make_capsule(c10::make_intrusive<Shape>(shape));
    RotatedHeads heads = split_and_rotate(qkv.contiguous(), shape);
    return {heads.query, heads.key, heads.value};
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto capsule = context->saved_data["shape"].toCapsule();
    const AttentionShape& shape = static_cast<Shape*>(capsule.get())->value;
    return {rotate_back_and_join(
                {gradients[0].contiguous(), gradients[1].contiguous(), gradients[2].contiguous()},
                shape),
            at::Tensor()};
  }
};

/// [sequences * heads, length, head_dim] -> [sequences, num_heads, length, head_dim]; a key head
/// serves the query heads that follow one another.
at::Tensor by_query_head(const at::Tensor& heads, std::int64_t count, const AttentionShape& shape) {
  const at::Tensor grouped = heads.view({shape.sequences, count, 1, shape.length, shape.head_dim});
  return grouped
      .expand({shape.sequences, count, shape.num_heads / count, shape.length, shape.head_dim})
      .reshape({shape.sequences, shape.num_heads, shape.length, shape.head_dim});
}

}  // namespace

at::Tensor attention_on_gpu(const at::Tensor& qkv, const AttentionShape& shape,
                            const GpuPass& pass) {
  if (shape.sequences == 0) return qkv.narrow(1, 0, shape.output_width());
  const variable_list heads = SplitAndRotate::apply(qkv, shape);
  const bool masked = pass.attention_mask.defined();
  const at::Tensor output = at::scaled_dot_product_attention(
      by_query_head(heads[0], shape.num_heads, shape),
      by_query_head(heads[1], shape.num_kv_heads, shape),
      by_query_head(heads[2], shape.num_kv_heads, shape),
      masked ? std::optional(pass.attention_mask) : std::nullopt, /*dropout_p=*/0.0,
      /*is_causal=*/!masked);
  return output.transpose(1, 2).reshape({shape.sequences * shape.length, shape.output_width()});
}

at::Tensor make_attention_mask(const Microbatch& microbatch, at::ScalarType type) {
  const auto attends_from_0 = [](std::int32_t begin) { return begin == 0; };
  if (std::ranges::all_of(microbatch.document_begin, attends_from_0)) return {};
  const at::Tensor position =
      at::arange(microbatch.length, at::TensorOptions(at::kInt).device(gpu_device()));
  const at::Tensor begin = uploaded(microbatch.document_begin, at::kInt)
                               .view({microbatch.sequences, 1, microbatch.length, 1});
  const at::Tensor row = position.view({microbatch.length, 1});
  const at::Tensor hidden = position.gt(row).logical_or(position.lt(begin));
  return at::zeros(hidden.sizes(), hidden.options().dtype(type))
      .masked_fill_(hidden, -std::numeric_limits<double>::infinity());
}

}  // namespace hetmoe
