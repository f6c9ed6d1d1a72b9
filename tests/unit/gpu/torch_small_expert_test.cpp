// HyperMoE's small expert, in every form, on the emulated device beside the CPU: the same
// parameters, tokens and selections.
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <observed_device.h>

#include "core/model/hyper_expert.h"
#include "core/model/router.h"
#include "core/tensor/device.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kHidden = 12;
constexpr int kExperts = 5;
constexpr int kLayers = 2;

struct FormCase {
  const char* name;
  RouterConfig router;
  HyperConfig hyper;
  std::int64_t tokens = 0;
  std::int64_t different = 1;  ///< tokens whose logits differ
  int generations = 0;         ///< in two microbatches of two layers: tells the form
  at::ScalarType type = at::kFloat;
};

ModelConfig model_of(const FormCase& c) {
  ModelConfig config;
  config.vocab_size = 5;
  config.hidden_size = kHidden;
  config.num_layers = kLayers;
  config.num_heads = 1;
  config.num_kv_heads = 1;
  config.experts.count = kExperts;
  config.experts.widths = {1, 2, 3, 4, 5};
  config.router = c.router;
  config.hyper = c.hyper;
  config.hyper.enabled = true;
  config.hyper.rank = 3;
  config.hyper.hidden = 7;
  config.hyper.embedding = 4;
  config.hyper.process = 5;
  config.hyper.input = 3;
  config.hyper.layer_embedding = 2;
  return config;
}

Routing routing_of(const FormCase& c) {
  const at::Tensor different = test_values("logits", {c.different, kExperts}, 1.5).to(at::kFloat);
  at::Tensor logits = at::zeros({c.tokens, kExperts}, different.options());
  for (std::int64_t t = 0; t < c.tokens; ++t) logits[t].copy_(different[t % c.different]);
  return route(logits, c.router);
}

/// The small experts of a model on one device.
class SmallExpert {
 public:
  SmallExpert(const FormCase& c, at::Device device)
      : case_(c),
        device_(device),
        store_(model_of(c), {}, c.type, GradientMemory::kHeld, device),
        expert_(make_hyper_expert(model_of(c), store_, [this](PassState&) { ++generations_; })) {
    store_.dense_values().copy_(test_values("parameters", {store_.dense_elements()}, 0.7));
  }

  struct Pass {
    at::Tensor y, dx, dmass;
  };

  /// A microbatch of one layer.
  Pass run(int microbatch, int layer, const Routing& routing) {
    const std::string name = std::to_string(microbatch) + "." + std::to_string(layer);
    const at::Tensor x = rows("x" + name), dy = rows("dy" + name);
    PassState pass{.microbatch = {.sequences = 1, .length = case_.tokens, .microbatches = 2}};
    HyperExpert::Output output = expert_->forward(layer, x, routing, pass);
    HyperExpert::Gradient gradient = expert_->backward(layer, dy, x, routing, *output.context);
    return {output.y, gradient.dx, gradient.dmass};
  }
  void finish() { expert_->finish_gradients(); }

  Routing here(Routing routing) const {
    routing.probabilities = routing.probabilities.to(device_);
    if (!device_.is_cpu()) routing.gate.clear();  // as the layer on a GPU gives it
    return routing;
  }
  ParameterStore& store() { return store_; }
  int generations() const { return generations_; }

 private:
  at::Tensor rows(const std::string& name) const {
    return test_values(name.c_str(), {case_.tokens, kHidden}).to(case_.type).to(device_);
  }

  const FormCase& case_;
  at::Device device_;
  ParameterStore store_;
  int generations_ = 0;
  std::unique_ptr<HyperExpert> expert_;
};

void expect_same(const at::Tensor& got, const at::Tensor& expected, at::ScalarType type,
                 const std::string& what) {
  EXPECT_LT(relative_difference(got.to(at::kCPU).to(at::kDouble), expected.to(at::kDouble)),
            type == at::kFloat ? 2e-6 : 2e-2)
      << what;
}

class GpuSmallExpert : public testing::TestWithParam<FormCase> {};

TEST_P(GpuSmallExpert, values_and_gradients_are_those_of_the_cpu_and_the_host_does_not_wait) {
  const FormCase& c = GetParam();
  SmallExpert there(c, gpu_device());
  SmallExpert here(c, at::kCPU);
  const Routing routing = routing_of(c);
  const Routing routing_there = there.here(routing);
  for (int microbatch = 0; microbatch < 2; ++microbatch) {
    for (int layer = 0; layer < kLayers; ++layer) {
      const std::uint64_t waits = test::host_waits_so_far();
      const SmallExpert::Pass pass = there.run(microbatch, layer, routing_there);
      EXPECT_EQ(test::host_waits_so_far(), waits);
      const SmallExpert::Pass expected = here.run(microbatch, layer, routing);
      EXPECT_EQ(pass.y.scalar_type(), c.type);
      expect_same(pass.y, expected.y, c.type, "y");
      expect_same(pass.dx, expected.dx, c.type, "dx");
      ASSERT_EQ(pass.dmass.defined(), c.hyper.gated);
      if (!c.hyper.gated) continue;
      EXPECT_EQ(pass.dmass.scalar_type(), at::kFloat);
      expect_same(pass.dmass, expected.dmass, c.type, "dmass");
    }
  }
  const std::uint64_t waits = test::host_waits_so_far();
  there.finish();
  EXPECT_EQ(test::host_waits_so_far(), waits);
  here.finish();
  for (const TensorSpec& spec : here.store().dense_specs()) {
    if (spec.name.find("hyper") == std::string::npos) continue;
    expect_same(there.store().dense(spec.name).gradient, here.store().dense(spec.name).gradient,
                c.type, spec.name);
  }
  EXPECT_EQ(there.generations(), c.generations);
  EXPECT_EQ(here.generations(), c.generations);
}

RouterConfig top_k(int k) { return {.kind = RouterKind::kTopK, .top_k = k}; }
RouterConfig top_p() { return {.kind = RouterKind::kTopP, .top_p = 0.6}; }
HyperConfig gated() { return {.gated = true}; }
HyperConfig without_memory(bool gated = false) { return {.memory_limit = 1, .gated = gated}; }
HyperConfig free_adapters(HyperKind kind) { return {.kind = kind}; }

// All sets of Top-2 are 10; with 2 microbatches they need 10 tokens. Occurring sets are generated
// up to half the tokens.
INSTANTIATE_TEST_SUITE_P(
    Forms, GpuSmallExpert,
    testing::Values(
        FormCase{"all_sets", top_k(2), {}, 13, 13, 1},
        FormCase{"all_sets_of_which_few_occur", top_k(2), {}, 13, 2, 1},
        FormCase{"all_sets_gated", top_k(2), gated(), 13, 13, 1},
        FormCase{"all_sets_bf16", top_k(2), gated(), 13, 13, 1, at::kBFloat16},
        FormCase{"occurring_sets", top_k(2), {}, 9, 3, 4},
        FormCase{"occurring_sets_top_p_gated", top_p(), gated(), 17, 5, 4},
        FormCase{"occurring_sets_bf16", top_p(), {}, 17, 5, 4, at::kBFloat16},
        FormCase{"factorised_many_sets", top_p(), {}, 5, 5, 4},
        FormCase{"factorised_by_limit", top_k(2), without_memory(), 13, 13, 4},
        FormCase{"factorised_top_p_gated", top_p(), without_memory(true), 70, 7, 4},
        FormCase{"factorised_bf16", top_p(), without_memory(true), 17, 7, 4, at::kBFloat16},
        FormCase{"selected_mean",
                 top_k(2),
                 {.conditioning = Conditioning::kSelected, .aggregate = Aggregate::kMean},
                 13,
                 13,
                 1},
        FormCase{"centred", top_p(), {.aggregate = Aggregate::kCentred}, 17, 5, 4},
        FormCase{"one_adapter", top_k(2), free_adapters(HyperKind::kSharedAdapter), 70},
        FormCase{"adapters_of_experts", top_k(2), free_adapters(HyperKind::kExpertAdapters), 13,
                 13},
        FormCase{"adapters_of_experts_top_p", top_p(), free_adapters(HyperKind::kExpertAdapters),
                 17, 17},
        FormCase{"adapters_of_experts_bf16", top_p(), free_adapters(HyperKind::kExpertAdapters), 17,
                 17, 0, at::kBFloat16},
        FormCase{"no_tokens", top_k(2), gated(), 0, 1, 4},
        FormCase{"no_tokens_top_p", top_p(), gated(), 0, 1, 4},
        FormCase{"no_tokens_of_free_adapters", top_p(), free_adapters(HyperKind::kExpertAdapters)}),
    [](const auto& context) { return context.param.name; });

}  // namespace
}  // namespace hetmoe
