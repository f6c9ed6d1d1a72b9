#include "core/model/gpu_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <limits>

#include "core/kernels/on_gpu/dense.h"
#include "core/tensor/device.h"

namespace hetmoe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Shape final : torch::CustomClassHolder {
  explicit Shape(AttentionShape value_in) : value(std::move(value_in)) {}
  AttentionShape value;
};

/// qkv [T, row_width] -> query, key, value, each [sequences, length, heads, head_dim].
struct SplitAndRotate : torch::autograd::Function<SplitAndRotate> {
  static variable_list forward(AutogradContext* context, const at::Tensor& qkv,
                               const AttentionShape& shape) {
    context->saved_data["shape"] = at::IValue::make_capsule(c10::make_intrusive<Shape>(shape));
    RotatedHeads heads = on_gpu::split_and_rotate(qkv.contiguous(), shape);
    return {heads.query, heads.key, heads.value};
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto capsule = context->saved_data["shape"].toCapsule();
    const AttentionShape& shape = static_cast<Shape*>(capsule.get())->value;
    return {on_gpu::rotate_back_and_join(
                {gradients[0].contiguous(), gradients[1].contiguous(), gradients[2].contiguous()},
                shape),
            at::Tensor()};
  }
};

/// A key head serves the query heads that follow one another: each gets a copy.
at::Tensor for_every_query_head(const at::Tensor& heads, const AttentionShape& shape) {
  return heads.repeat_interleave(shape.num_heads / shape.num_kv_heads, 1);
}

}  // namespace

at::Tensor attention_on_gpu(const at::Tensor& qkv, const AttentionShape& shape,
                            const GpuPass& pass) {
  if (shape.sequences == 0) return qkv.narrow(1, 0, shape.output_width());
  const variable_list heads = SplitAndRotate::apply(qkv, shape);
  const at::Tensor query = heads[0].transpose(1, 2);
  at::Tensor key = heads[1].transpose(1, 2);
  at::Tensor value = heads[2].transpose(1, 2);
  const bool masked = pass.attention_mask.defined();
  const bool grouped = shape.num_kv_heads != shape.num_heads;
  // Of the fused kernels one knows groups: it takes bf16 and no mask.
  const bool knows_groups = !masked && query.scalar_type() == at::kBFloat16;
  if (grouped && !knows_groups) {
    key = for_every_query_head(key, shape);
    value = for_every_query_head(value, shape);
  }
  const at::Tensor output = at::scaled_dot_product_attention(
      query, key, value, masked ? std::optional(pass.attention_mask) : std::nullopt,
      /*dropout_p=*/0.0, /*is_causal=*/!masked, /*scale=*/std::nullopt,
      /*enable_gqa=*/grouped && knows_groups);
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
