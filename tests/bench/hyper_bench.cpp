// What HyperMoE's small expert costs: whole training steps with and without it, in turns, on one
// rank or under mpirun; and on one rank a layer of it beside the released way, which generates
// weights for every token.
//   hetmoe_hyper_bench [THREADS]
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/median.h"
#include "core/model/generated_expert.h"
#include "core/model/router.h"
#include "parallel/communicator/mpi_communicator.h"
#include "runtime/trainer/initial_plan.h"
#include "runtime/trainer/process_memory.h"
#include "tests/bench/harness.h"
#include "tests/bench/yardstick.h"
#include "tests/support/hyper_reference.h"
#include "tests/support/training_world.h"

namespace hetmoe::bench {
namespace {

constexpr int kRounds = 15;
constexpr std::int64_t kTokens = 4096;

/// Hidden 512, 6 layers, 8 experts of mean width 1024, 16 sequences of 256 tokens, bf16. Every
/// expert gets the same number of tokens: left to the router, the two models would soon choose
/// experts of other widths, and the difference in their work would hide what is measured.
RunConfig model_of(int top_k, bool hyper) {
  RunConfig config;
  config.model.router.top_k = top_k;
  config.model.router.forced = "W0";
  config.model.hyper.enabled = hyper;
  config.train.global_batch = kTokens / 256;
  config.train.sequence_length = 256;
  config.train.warmup_steps = 0;
  config.train.precision = Precision::kBf16;
  return config;
}

/// One rank's part of training a model. Collective.
class Training {
 public:
  Training(const RunConfig& config, Communicator& world)
      : training_(
            config, world,
            make_initial_plan(config, configured_groups(config, world.size()), world).placement) {}
  void step() { training_.step(++steps_); }

 private:
  test::TrainingWorld training_;
  std::int64_t steps_ = 0;
};

void print_extra_time(int top_k, int threads, Communicator& world) {
  Training plain(model_of(top_k, false), world);
  Training hyper(model_of(top_k, true), world);
  const auto timings = time_alternating({{"plain", 0, [&] { plain.step(); }},
                                         {"hyper", 0, [&] { hyper.step(); }},
                                         {"plain again", 0, [&] { plain.step(); }}},
                                        kRounds);
  // Every step with it is compared with the mean of the two without it around it, which takes out a
  // drift of the machine; the same of the two steps that are alike says what noise is left.
  std::vector<double> extra, noise;
  for (std::size_t i = 0; i < timings[0].seconds.size(); ++i) {
    const double before = timings[0].seconds[i], after = timings[2].seconds[i];
    extra.push_back(2 * timings[1].seconds[i] / (before + after) - 1);
    noise.push_back(after / before - 1);
  }
  if (world.rank() != 0) return;
  nlohmann::ordered_json line;
  line["case"] = "hyper step top-" + std::to_string(top_k) + " of 8 T=4096 bf16";
  line["ranks"] = world.size();
  line["threads"] = threads;
  line["plain_seconds"] = timings[0].median_seconds;
  line["hyper_seconds"] = timings[1].median_seconds;
  line["extra"] = median(extra);
  line["extra_of_plain_again"] = median(noise);
  std::cout << line.dump() << std::endl;
}

/// One layer's small expert, forward and backward, generated per set and per token.
class OneLayer {
 public:
  explicit OneLayer(int top_k)
      : config_(one_layer(top_k)),
        store_(config_, {}, at::kBFloat16),
        expert_(config_, store_, [](PassState&) {}) {
    for (const TensorSpec& spec : store_.dense_specs()) {
      at::Tensor value = store_.dense(spec.name).value;
      value.copy_(normal(spec.name.c_str(), spec.rows, spec.columns, 0.02).view(value.sizes()));
    }
    x_ = normal("tokens", kTokens, config_.hidden_size, 1.0).to(at::kBFloat16);
    dy_ = normal("gradient", kTokens, config_.hidden_size, 1e-3).to(at::kBFloat16);
    routing_ = route(normal("logits", kTokens, config_.experts.count, 1.0), config_.router);
  }

  void per_set() {
    PassState pass{.microbatch = {.sequences = 1, .length = kTokens}};
    HyperExpert::Output output = expert_.forward(0, x_, routing_, pass);
    expert_.backward(0, dy_, x_, routing_, *output.context);
    expert_.finish_gradients();
  }

  void per_token() {
    std::map<std::string, at::Tensor> leaves;
    const auto leaf = [&](const std::string& name) {
      auto [found, is_new] = leaves.try_emplace(name);
      if (is_new) found->second = store_.dense(name).value.detach().requires_grad_(true);
      return found->second;
    };
    const at::Tensor x = x_.detach().requires_grad_(true);
    torch::autograd::backward({per_token_hyper_expert(config_, leaf, 0, x, routing_)}, {dy_});
  }

 private:
  static ModelConfig one_layer(int top_k) {
    ModelConfig config = model_of(top_k, true).model;
    config.num_layers = 1;
    config.vocab_size = 64;
    return config;
  }

  ModelConfig config_;
  ParameterStore store_;
  GeneratedExpert expert_;
  at::Tensor x_, dy_;
  Routing routing_;
};

void print_per_token(int top_k, int threads) {
  OneLayer layer(top_k);
  const auto timings = time_alternating(
      {{"per set", 0, [&] { layer.per_set(); }}, {"per token", 0, [&] { layer.per_token(); }}},
      kRounds);
  nlohmann::ordered_json line;
  line["case"] = "hyper layer top-" + std::to_string(top_k) + " of 8 T=4096 bf16";
  line["threads"] = threads;
  line["per_set_seconds"] = timings[0].median_seconds;
  line["per_token_seconds"] = timings[1].median_seconds;
  line["per_token_over_per_set"] = timings[1].median_seconds / timings[0].median_seconds;
  std::cout << line.dump() << std::endl;
}

}  // namespace
}  // namespace hetmoe::bench

int main(int argc, char** argv) {
  hetmoe::MpiRuntime runtime(argc, argv);
  const std::unique_ptr<hetmoe::Communicator> world = runtime.world();
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  hetmoe::keep_freed_memory();
  at::set_num_threads(threads);
  for (const int top_k : {1, 2}) {
    hetmoe::bench::print_extra_time(top_k, threads, *world);
    if (world->size() == 1) hetmoe::bench::print_per_token(top_k, threads);
  }
  return 0;
}
