#include "tests/bench/one_layer.h"

#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>

#include <utility>

#include "core/model/gpu_mixture.h"
#include "core/model/host_moe_layer.h"
#include "core/model/local_token_dispatcher.h"
#include "core/model/parameter_specs.h"
#include "tests/bench/yardstick.h"

namespace hetmoe::bench {
namespace {

ModelConfig with_one_layer(ModelConfig config) {
  config.num_layers = 1;
  return config;
}

std::vector<Slice> whole_experts(const ModelConfig& config) {
  std::vector<Slice> slices;
  const auto widths = expert_widths(config.experts);
  for (int e = 0; e < static_cast<int>(widths.size()); ++e) {
    slices.push_back({0, e, 0, widths[static_cast<std::size_t>(e)]});
  }
  return slices;
}

std::unique_ptr<Mixture> mixture_on(at::Device device, at::ScalarType type,
                                    const ModelConfig& config, const gpu::ProductTable& products) {
  const std::vector<Slice> slices = whole_experts(config);
  if (!device.is_cpu()) return make_gpu_mixture(make_local_gpu_token_dispatcher(slices), products);
  return std::make_unique<HostMixture>(make_expert_kernels(type, config.hidden_size),
                                       make_local_token_dispatcher(slices));
}

}  // namespace

OneLayer::OneLayer(ModelConfig config, std::int64_t tokens, at::ScalarType type, at::Device device,
                   const gpu::ProductTable& products)
    : config_(with_one_layer(std::move(config))),
      tokens_(tokens),
      statistics_(1, config_.experts.count),
      parameters_(std::make_unique<ParameterStore>(config_, whole_experts(config_), type,
                                                   GradientMemory::kHeld, device)),
      mixture_(mixture_on(device, type, config_, products)),
      layer_(mixture_->make_layer(config_, 0, {*parameters_})) {
  const std::int64_t hidden = config_.hidden_size;
  for (at::Tensor values : {parameters_->dense_values(), parameters_->slice_values(0)}) {
    values.copy_(normal("weights", values.numel() / hidden, hidden, 0.02).view({-1}));
  }
  x_ = normal("tokens", tokens, hidden, 1.0).to(type).to(device).requires_grad_(true);
  dy_ = normal("gradient", tokens, hidden, 1e-3).to(type).to(device);
  forward();
  backward();
}

void OneLayer::forward() {
  statistics_.clear();
  pass_ = {.microbatch = {.sequences = 1, .length = tokens_, .global_tokens = tokens_},
           .statistics = &statistics_};
  if (!x_.is_cpu()) {
    pass_.gpu.statistics =
        at::zeros({1, statistics_.values_of_layer()}, x_.options().dtype(at::kDouble));
  }
  y_ = layer_->forward(x_, pass_);
}

void OneLayer::backward() {
  torch::autograd::backward({y_}, {dy_});
  x_.mutable_grad().reset();
  y_.reset();
}

std::vector<double> OneLayer::selected() const {
  const auto experts = static_cast<std::size_t>(config_.experts.count);
  if (x_.is_cpu()) {
    const auto counted = statistics_.layer(0).selected;
    return {counted.begin(), counted.end()};
  }
  const at::Tensor here = pass_.gpu.statistics.to(at::kCPU);
  const auto* counted = here.const_data_ptr<double>();
  return {counted, counted + experts};
}

double OneLayer::forward_flops() const {
  const auto widths = expert_widths(config_.experts);
  const std::vector<double> counted = selected();
  double flops = 2.0 * static_cast<double>(tokens_ * config_.hidden_size * config_.experts.count);
  for (std::size_t e = 0; e < counted.size(); ++e) {
    flops += counted[e] * expert_forward_flops(config_, static_cast<double>(widths[e]));
  }
  return flops;
}

}  // namespace hetmoe::bench
