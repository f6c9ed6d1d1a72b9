#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include <cstdint>
#include <utility>

#include "core/model/microbatch.h"

namespace hetmoe {

/// A mixture layer as autograd sees it. The layer has a struct Saved, which lives from forward to
/// backward, and
///   at::Tensor forward_and_save(const at::Tensor& x, PassState& pass, Saved& saved);
///   at::Tensor backward(const at::Tensor& dy, Saved& saved);
template <typename Layer>
struct LayerFunction : torch::autograd::Function<LayerFunction<Layer>> {
  using Context = torch::autograd::AutogradContext;
  using Tensors = torch::autograd::variable_list;

  struct Holder final : torch::CustomClassHolder {
    typename Layer::Saved saved;
  };

  static at::Tensor forward(Context* context, const at::Tensor& x, Layer* layer, PassState* pass) {
    auto holder = c10::make_intrusive<Holder>();
    at::Tensor y = layer->forward_and_save(x.detach(), *pass, holder->saved);
    context->saved_data["layer"] = reinterpret_cast<std::int64_t>(layer);
    context->saved_data["saved"] = at::IValue::make_capsule(std::move(holder));
    return y;
  }

  static Tensors backward(Context* context, Tensors gradients) {
    auto* layer = reinterpret_cast<Layer*>(context->saved_data["layer"].toInt());
    auto capsule = context->saved_data["saved"].toCapsule();
    auto& saved = static_cast<Holder*>(capsule.get())->saved;
    at::Tensor dx = layer->backward(gradients[0].contiguous(), saved);
    saved = {};
    return {dx, at::Tensor(), at::Tensor()};
  }
};

}  // namespace hetmoe
