#include "core/model/functions.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include "core/base/check.h"
#include "core/kernels/embedding.h"
#include "core/kernels/linear.h"
#include "core/kernels/rms_norm.h"
#include "core/model/gpu_attention.h"

namespace hetmoe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// What a function keeps for its backward pass, beside tensors.
template <typename State>
struct Saved final : torch::CustomClassHolder {
  explicit Saved(State state_in) : state(std::move(state_in)) {}
  State state;
};

template <typename State>
void save(AutogradContext* context, State state) {
  context->saved_data["state"] =
      at::IValue::make_capsule(c10::make_intrusive<Saved<State>>(std::move(state)));
}

template <typename State>
State take(AutogradContext* context) {
  auto capsule = context->saved_data["state"].toCapsule();
  State state = std::move(static_cast<Saved<State>*>(capsule.get())->state);
  context->saved_data.clear();
  return state;
}

struct LinearState {
  at::Tensor x;
  Parameter weight;
};

struct Linear : Function<Linear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x,
                            const Parameter& weight) {
    save(context, LinearState{x.detach(), weight});
    return linear_forward(x, weight.value);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    LinearState state = take<LinearState>(context);
    const at::Tensor dy = gradients[0].contiguous();
    add_weight_gradient(dy, state.x, state.weight.gradient, state.weight.next_sum());
    return {linear_input_gradient(dy, state.weight.value), at::Tensor()};
  }
};

struct RmsNormState {
  at::Tensor x;
  at::Tensor inverse_rms;
  Parameter weight;
};

struct RmsNorm : Function<RmsNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const Parameter& weight,
                            double epsilon) {
    RmsNormResult result = rms_norm_forward(x, weight.value, epsilon);
    save(context, RmsNormState{x.detach(), result.inverse_rms, weight});
    return result.y;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    RmsNormState state = take<RmsNormState>(context);
    return {rms_norm_backward(gradients[0], state.x, state.weight.value, state.inverse_rms,
                              state.weight.gradient, state.weight.next_sum()),
            at::Tensor(), at::Tensor()};
  }
};

struct AttentionState {
  AttentionResult result;
  AttentionShape shape;
  std::span<const std::int32_t> document_begin;
};

struct Attention : Function<Attention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& qkv,
                            const AttentionShape& shape,
                            std::span<const std::int32_t> document_begin) {
    AttentionResult result = attention_forward(qkv.detach(), shape, document_begin);
    at::Tensor output = result.output;
    result.output = output.detach();  // the graph must not own its own result
    save(context, AttentionState{std::move(result), shape, document_begin});
    return output;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    AttentionState state = take<AttentionState>(context);
    return {attention_backward(gradients[0].contiguous(), state.result, state.shape,
                               state.document_begin),
            at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const Parameter& weight) { return Linear::apply(x, weight); }

at::Tensor rms_norm(const at::Tensor& x, const Parameter& weight, double epsilon) {
  return RmsNorm::apply(x, weight, epsilon);
}

at::Tensor attention(const at::Tensor& qkv, const AttentionShape& shape, const PassState& pass) {
  if (!qkv.is_cpu()) return attention_on_gpu(qkv, shape, pass.gpu);
  return Attention::apply(qkv, shape, pass.microbatch.document_begin);
}

at::Tensor embed(const Parameter& embedding, const PassState& pass, bool training) {
  at::Tensor rows = embedding_forward(embedding.value, pass.microbatch.inputs);
  if (training) rows.requires_grad_(true);
  return rows;
}

void embed_backward(const at::Tensor& gradient, Parameter embedding, const PassState& pass) {
  embedding_backward(gradient, pass.microbatch.inputs, embedding.gradient, embedding.next_sum());
}

}  // namespace hetmoe
