#include "core/model/backward_signal.h"

#include <torch/csrc/autograd/custom_function.h>

#include <utility>

namespace hetmoe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Callback final : torch::CustomClassHolder {
  explicit Callback(std::function<void()> call_in) : call(std::move(call_in)) {}
  std::function<void()> call;
};

struct BackwardSignal : torch::autograd::Function<BackwardSignal> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& h,
                            std::function<void()> reached) {
    context->saved_data["reached"] =
        at::IValue::make_capsule(c10::make_intrusive<Callback>(std::move(reached)));
    return h;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto capsule = context->saved_data["reached"].toCapsule();
    static_cast<Callback*>(capsule.get())->call();
    return {gradients[0], at::Tensor()};
  }
};

}  // namespace

at::Tensor signal_in_backward(const at::Tensor& h, std::function<void()> reached) {
  return BackwardSignal::apply(h, std::move(reached));
}

}  // namespace hetmoe
