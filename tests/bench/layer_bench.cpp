// Expert layer with router, permutation and gates, forward and backward, beside the yardstick.
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <numeric>

#include "core/base/clock.h"
#include "core/model/initial_values.h"
#include "core/model/host_moe_layer.h"
#include "core/model/local_token_dispatcher.h"
#include "core/model/parameter_specs.h"
#include "runtime/trainer/process_memory.h"
#include "tests/bench/harness.h"
#include "tests/bench/yardstick.h"

namespace hetmoe::bench {
namespace {

/// One mixture layer of top-2 experts on one rank, with random weights and tokens.
class Layer {
 public:
  Layer(std::int64_t hidden_size, std::int64_t mean_width, std::int64_t tokens, at::ScalarType type)
      : tokens_(tokens), statistics_(1, 8) {
    config_.hidden_size = hidden_size;
    config_.vocab_size = 64;
    config_.num_layers = 1;
    config_.experts.mean_width = mean_width;
    std::vector<Slice> slices;
    const auto widths = expert_widths(config_.experts);
    for (int e = 0; e < 8; ++e) slices.push_back({0, e, 0, widths[e]});
    parameters_ = std::make_unique<ParameterStore>(config_, slices, type);
    for (at::Tensor values : {parameters_->dense_values(), parameters_->slice_values(0)}) {
      values.copy_(normal("weights", values.numel() / hidden_size, hidden_size, 0.02).view({-1}));
    }
    mixture_ = std::make_unique<HostMixture>(make_expert_kernels(type, hidden_size),
                                             make_local_token_dispatcher(slices));
    layer_ = mixture_->make_layer(config_, 0, {*parameters_, clock_});
    x_ = normal("tokens", tokens, hidden_size, 1.0).to(type).requires_grad_(true);
    dy_ = normal("gradient", tokens, hidden_size, 1e-3).to(type);
    run();
  }

  void run() {
    statistics_.clear();
    PassState pass{.microbatch = {.sequences = 1, .length = tokens_, .global_tokens = tokens_},
                   .statistics = &statistics_,
                   .seconds = {}};
    const at::Tensor y = layer_->forward(x_, pass);
    torch::autograd::backward({y}, {dy_});
    x_.mutable_grad().reset();
  }

  /// Three times the forward products of router and selected experts.
  double flops() {
    const auto widths = expert_widths(config_.experts);
    const auto selected = statistics_.layer(0).selected;
    double forward = 2.0 * static_cast<double>(tokens_ * config_.hidden_size * 8);
    for (int e = 0; e < 8; ++e) {
      forward += selected[e] * expert_forward_flops(config_, static_cast<double>(widths[e]));
    }
    return 3.0 * forward;
  }

 private:
  ModelConfig config_;
  std::int64_t tokens_;
  RouterStatistics statistics_;
  SystemClock clock_;
  std::unique_ptr<ParameterStore> parameters_;
  std::unique_ptr<Mixture> mixture_;
  std::unique_ptr<MoeLayer> layer_;
  at::Tensor x_, dy_;
};

void bench_type(at::ScalarType type, const std::string& suffix, int threads) {
  Layer wide(768, 1536, 4096, type);
  Layer narrow(256, 512, 4096, type);
  const auto timings = time_alternating(
      {yardstick(type),
       {"layer D=768 widths 864..2208 T=4096 " + suffix, wide.flops(), [&] { wide.run(); }},
       {"layer D=256 widths 288..736 T=4096 " + suffix, narrow.flops(), [&] { narrow.run(); }}},
      9);
  for (const Timing& timing : timings) {
    std::cout << json_line(timing, timings[0].flops_per_second(), threads) << std::endl;
  }
}

}  // namespace
}  // namespace hetmoe::bench

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  hetmoe::keep_freed_memory();
  at::set_num_threads(threads);
  hetmoe::bench::bench_type(at::kBFloat16, "bf16", threads);
  if (argc <= 2) hetmoe::bench::bench_type(at::kFloat, "fp32", threads);
  return 0;
}
