#include "core/model/hypernetwork.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tensor.h>

#include <string>
#include <vector>

#include "core/tensor/device.h"

namespace hetmoe {
namespace {

at::Tensor mask_positive(const at::Tensor& gradient, const at::Tensor& relu) {
  return gradient.mul(relu.gt(0));
}

/// Gradients of these are small: what begins with a part of them begins with zeros.
void begin_with_zeros(const Parameter& parameter) {
  if (parameter.next_sum() == GradientSum::kBegin) parameter.gradient.zero_();
}

void add_product(const at::Tensor& a, const at::Tensor& b, Parameter& parameter) {
  begin_with_zeros(parameter);
  parameter.gradient.addmm_(a, b);
}

/// To one row of the gradient, or to all of it.
void add(const at::Tensor& part, const Parameter& parameter, at::Tensor rows) {
  begin_with_zeros(parameter);
  rows.add_(part);
}

/// Values of the host on `device`, which nobody waits for.
at::Tensor values_on(at::Device device, const std::vector<double>& values, at::ScalarType type) {
  if (device.is_cpu()) return at::tensor(values, at::TensorOptions(type).device(device));
  const std::vector<float> narrow(values.begin(), values.end());
  return uploaded(std::span<const float>(narrow), at::kFloat);
}

}  // namespace

Hypernetwork::Hypernetwork(const ModelConfig& config, const ParameterStore& parameters)
    : config_(config.hyper),
      num_experts_(config.experts.count),
      wide_(parameters.type() == at::kDouble ? at::kDouble : at::kFloat),
      layer_embedding_(parameters.dense("hypernetwork.layer_embedding")),
      hidden_(linear_of(parameters, "hypernetwork.hidden")),
      heads_{head_of(parameters, "hypernetwork.down"), head_of(parameters, "hypernetwork.up"),
             head_of(parameters, "hypernetwork.down_bias"),
             head_of(parameters, "hypernetwork.up_bias")} {
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const std::string prefix = "layers." + std::to_string(layer) + ".hyper.";
    layers_.push_back({parameters.dense(prefix + "embedding"),
                       linear_of(parameters, prefix + "process"),
                       linear_of(parameters, prefix + "project")});
  }
}

Hypernetwork::Linear Hypernetwork::linear_of(const ParameterStore& parameters,
                                             const std::string& name) {
  return {parameters.dense(name + ".weight"), parameters.dense(name + ".bias")};
}

GeneratorHead Hypernetwork::head_of(const ParameterStore& parameters, const std::string& name) {
  const Linear linear = linear_of(parameters, name);
  head_parameters_.insert(head_parameters_.end(), {linear.weight, linear.bias});
  return {linear.weight.value, linear.bias.value, linear.weight.gradient, linear.bias.gradient};
}

at::Tensor Hypernetwork::apply(const Linear& linear, const at::Tensor& x) const {
  return at::addmm(linear.bias.value.to(wide_), x, linear.weight.value.to(wide_).t());
}

at::Tensor Hypernetwork::backward(Linear& linear, const at::Tensor& dy, const at::Tensor& x) const {
  add_product(dy.t(), x, linear.weight);
  add(at::sum(dy, {0}), linear.bias, linear.bias.gradient);
  return at::mm(dy, linear.weight.value.to(wide_));
}

Hypernetwork::Encoded Hypernetwork::encode(int layer, const ExpertSets& sets) const {
  const Layer& parameters = layers_[layer];
  Encoded encoded;
  encoded.layer = layer;
  encoded.coefficients =
      values_on(layer_embedding_.value.device(),
                embedding_coefficients(sets, num_experts_, config_.conditioning, config_.aggregate),
                wide_)
          .view({sets.size(), num_experts_});
  encoded.selection = at::mm(encoded.coefficients, parameters.embedding.value.to(wide_));
  encoded.processed = apply(parameters.process, encoded.selection).relu_();
  const at::Tensor layer_code = layer_embedding_.value[layer].to(wide_);
  encoded.input = at::cat({apply(parameters.project, encoded.processed),
                           layer_code.expand({sets.size(), config_.layer_embedding})},
                          1);
  encoded.code = apply(hidden_, encoded.input).relu_();
  return encoded;
}

void Hypernetwork::encode_backward(const at::Tensor& dcode, const Encoded& encoded) {
  Layer& parameters = layers_[encoded.layer];
  const at::Tensor dinput = backward(hidden_, mask_positive(dcode, encoded.code), encoded.input);
  add(at::sum(dinput.narrow(1, config_.input, config_.layer_embedding), {0}), layer_embedding_,
      layer_embedding_.gradient[encoded.layer]);
  const at::Tensor dprocessed =
      backward(parameters.project, dinput.narrow(1, 0, config_.input), encoded.processed);
  const at::Tensor dselection =
      backward(parameters.process, mask_positive(dprocessed, encoded.processed), encoded.selection);
  add_product(encoded.coefficients.t(), dselection, parameters.embedding);
}

}  // namespace hetmoe
