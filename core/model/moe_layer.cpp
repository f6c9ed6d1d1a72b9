#include "core/model/moe_layer.h"

#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace hetmoe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Kept final : torch::CustomClassHolder {
  at::Tensor x;
  MoeLayer* layer = nullptr;
  std::unique_ptr<MoeContext> context;
};

/// A mixture layer as autograd sees it.
struct LayerFunction : torch::autograd::Function<LayerFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, MoeLayer* layer,
                            PassState* pass) {
    auto kept = c10::make_intrusive<Kept>();
    kept->x = x.detach();
    kept->layer = layer;
    MoeLayer::Output output = layer->forward_and_keep(kept->x, *pass);
    kept->context = std::move(output.context);
    context->saved_data["kept"] = at::IValue::make_capsule(std::move(kept));
    return output.y;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto capsule = context->saved_data["kept"].toCapsule();
    Kept& kept = *static_cast<Kept*>(capsule.get());
    context->saved_data.clear();
    at::Tensor dx = kept.layer->backward(gradients[0].contiguous(), kept.x, *kept.context);
    return {dx, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor MoeLayer::forward(const at::Tensor& x, PassState& pass) {
  return LayerFunction::apply(x, this, &pass);
}

}  // namespace hetmoe
