#include "core/model/generated_expert.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>

#include "core/model/hyper_parameters.h"
#include "core/model/initial_values.h"
#include "core/model/router.h"
#include "tests/support/gradient_check.h"
#include "tests/support/hyper_reference.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kHidden = 6;
constexpr int kExperts = 5;
constexpr int kLayers = 2;

ModelConfig small_model(RouterConfig router, HyperConfig hyper) {
  ModelConfig config;
  config.vocab_size = 5;
  config.hidden_size = kHidden;
  config.num_layers = kLayers;
  config.num_heads = 1;
  config.num_kv_heads = 1;
  config.experts.count = kExperts;
  config.experts.widths = {1, 2, 3, 4, 5};
  config.router = router;
  hyper.enabled = true;
  hyper.rank = 3;
  hyper.hidden = 7;
  hyper.embedding = 4;
  hyper.process = 5;
  hyper.input = 3;
  hyper.layer_embedding = 2;
  config.hyper = hyper;
  return config;
}

RouterConfig top_k(int k) { return {.kind = RouterKind::kTopK, .top_k = k}; }
RouterConfig top_p() { return {.kind = RouterKind::kTopP, .top_p = 0.6}; }

/// Logits of T tokens, of which only `different` differ.
at::Tensor logits_of(std::int64_t tokens, std::int64_t different) {
  at::Tensor logits = at::zeros({tokens, kExperts}, at::TensorOptions(at::kDouble));
  const at::Tensor values = test_values("logits", {different, kExperts}, 1.5);
  for (std::int64_t t = 0; t < tokens; ++t) logits[t].copy_(values[t % different]);
  return logits;
}

PassState pass_of(std::int64_t tokens, std::int64_t microbatches) {
  return {.microbatch = {.sequences = 1, .length = tokens, .microbatches = microbatches}};
}

/// The small experts of a model with random parameters.
class SmallExpert {
 public:
  explicit SmallExpert(const ModelConfig& config)
      : config_(config),
        store_(config, {}, at::kDouble),
        expert_(config, store_, [this](PassState&) { ++generations_; }) {
    store_.dense_values().copy_(test_values("parameters", {store_.dense_elements()}, 0.7));
  }

  struct Pass {
    at::Tensor x, y, dx;
    at::Tensor dmass;
  };

  HyperExpert::Output forward(int layer, const at::Tensor& x, const Routing& routing,
                              std::int64_t microbatches = 1) {
    PassState pass = pass_of(x.size(0), microbatches);
    return expert_.forward(layer, x, routing, pass);
  }

  Pass run(int layer, const at::Tensor& x, const at::Tensor& dy, const Routing& routing,
           std::int64_t microbatches = 1) {
    HyperExpert::Output output = forward(layer, x, routing, microbatches);
    HyperExpert::Gradient gradient = expert_.backward(layer, dy, x, routing, *output.context);
    return {x, output.y, gradient.dx, gradient.dmass};
  }

  /// One microbatch through all layers, and the end of the step; gives the last layer's pass.
  Pass run_step(const at::Tensor& x, const at::Tensor& dy, const Routing& routing) {
    Pass pass;
    for (int layer = 0; layer < kLayers; ++layer) pass = run(layer, x, dy, routing);
    expert_.finish_gradients();
    return pass;
  }

  const ModelConfig& config() const { return config_; }
  ParameterStore& store() { return store_; }
  GeneratedExpert& expert() { return expert_; }
  int generations() const { return generations_; }

 private:
  ModelConfig config_;
  ParameterStore store_;
  int generations_ = 0;  ///< each waits once for the parameters
  GeneratedExpert expert_;
};

/// The same parameters for the reference: leaves of autograd.
std::map<std::string, at::Tensor> leaves_of(SmallExpert& model) {
  std::map<std::string, at::Tensor> leaves;
  for (const TensorSpec& spec : hypernetwork_specs(model.config())) {
    leaves[spec.name] = model.store().dense(spec.name).value.clone().requires_grad_(true);
  }
  return leaves;
}

struct FormCase {
  const char* name;
  RouterConfig router;
  HyperConfig hyper;
  std::int64_t tokens;
  std::int64_t different;
  int generations;  ///< in two microbatches of two layers
};

class GeneratedExpertForms : public testing::TestWithParam<FormCase> {};

TEST_P(GeneratedExpertForms, EqualGenerationPerTokenInValuesAndGradients) {
  const FormCase& c = GetParam();
  SmallExpert model(small_model(c.router, c.hyper));
  auto leaves = leaves_of(model);
  const auto leaf = [&](const std::string& name) { return leaves.at(name); };
  for (int microbatch = 0; microbatch < 2; ++microbatch) {
    for (int layer = 0; layer < kLayers; ++layer) {
      const std::string name = std::to_string(microbatch) + "." + std::to_string(layer);
      const at::Tensor x = test_values(("x" + name).c_str(), {c.tokens, kHidden});
      const at::Tensor dy = test_values(("dy" + name).c_str(), {c.tokens, kHidden});
      Routing routing = route(logits_of(c.tokens, c.different), c.router);
      const SmallExpert::Pass pass = model.run(layer, x, dy, routing, 2);

      const at::Tensor leaf_x = x.clone().requires_grad_(true);
      routing.probabilities.requires_grad_(true);
      const at::Tensor y = per_token_hyper_expert(model.config(), leaf, layer, leaf_x, routing);
      EXPECT_LT(relative_difference(pass.y, y.detach()), 1e-12);
      torch::autograd::backward({y}, {dy});
      EXPECT_LT(relative_difference(pass.dx, leaf_x.grad()), 1e-12);
      ASSERT_EQ(pass.dmass.defined(), c.hyper.gated);
      for (std::int64_t t = 0; c.hyper.gated && t < c.tokens; ++t) {
        const auto expert = routing.expert[routing.offset[t]];
        EXPECT_NEAR(pass.dmass[t].item<double>(),
                    routing.probabilities.grad()[t][expert].item<double>(), 1e-12);
      }
    }
  }
  model.expert().finish_gradients();
  for (const auto& [name, value] : leaves) {
    EXPECT_LT(relative_difference(model.store().dense(name).gradient, value.grad()), 1e-12) << name;
    EXPECT_GT(value.grad().abs().max().item<double>(), 1e-6) << name;
  }
  EXPECT_EQ(model.generations(), c.generations);
}

HyperConfig limited(HyperConfig hyper = {}) {
  hyper.memory_limit = 1;
  return hyper;
}

HyperConfig aggregated(Conditioning conditioning, Aggregate aggregate, bool gated = false) {
  return {.conditioning = conditioning, .aggregate = aggregate, .gated = gated};
}

// All sets of Top-2 are 10, of Top-1 5: with 2 microbatches they need 10 and 5 tokens.
INSTANTIATE_TEST_SUITE_P(
    Forms, GeneratedExpertForms,
    testing::Values(FormCase{"all_sets_top_1", top_k(1), {}, 9, 9, 1},
                    FormCase{"all_sets_top_2", top_k(2), {}, 13, 13, 1},
                    FormCase{"all_sets_of_which_few_occur", top_k(2), {}, 13, 2, 1},
                    FormCase{"occurring_sets_top_2", top_k(2), {}, 9, 3, 4},
                    FormCase{"occurring_sets_top_p", top_p(), {}, 17, 5, 4},
                    FormCase{"factorised_many_sets", top_p(), {}, 5, 5, 4},
                    FormCase{"factorised_top_2_by_limit", top_k(2), limited(), 13, 13, 4},
                    FormCase{"factorised_top_p_gated", top_p(), limited({.gated = true}), 7, 7, 4},
                    FormCase{"one_token", top_k(2), {}, 1, 1, 4},
                    FormCase{"selected", top_k(2),
                             aggregated(Conditioning::kSelected, Aggregate::kSum), 13, 13, 1},
                    FormCase{"mean_gated", top_k(2),
                             aggregated(Conditioning::kUnselected, Aggregate::kMean, true), 13, 13,
                             1},
                    FormCase{"centred_top_p", top_p(),
                             aggregated(Conditioning::kUnselected, Aggregate::kCentred), 17, 5, 4},
                    FormCase{"selected_mean_gated_top_p", top_p(),
                             aggregated(Conditioning::kSelected, Aggregate::kMean, true), 17, 5,
                             4}),
    [](const auto& instance) { return instance.param.name; });

TEST(GeneratedExpert, WithAllExpertsSelectedTakesAConstantAndFiniteInput) {
  for (const Aggregate aggregate : {Aggregate::kSum, Aggregate::kMean, Aggregate::kCentred}) {
    SmallExpert model(
        small_model(top_k(kExperts), aggregated(Conditioning::kUnselected, aggregate)));
    const at::Tensor x = test_values("x", {4, kHidden});
    const SmallExpert::Pass pass = model.run_step(x, x, route(logits_of(4, 4), top_k(kExperts)));
    auto leaves = leaves_of(model);
    const auto zeroed = [&](const std::string& name) {
      const at::Tensor value = leaves.at(name).detach();
      return name.ends_with("hyper.embedding") ? value.mul(0) : value;
    };
    const at::Tensor without_embeddings = per_token_hyper_expert(
        model.config(), zeroed, 1, x, route(logits_of(4, 4), top_k(kExperts)));
    EXPECT_LT(relative_difference(pass.y, without_embeddings), 1e-12);
    EXPECT_TRUE(model.store().dense_gradients().isfinite().all().item<bool>());
    EXPECT_EQ(model.store().dense("layers.1.hyper.embedding").gradient.abs().max().item<double>(),
              0);
  }
}

TEST(GeneratedExpert, TakesNoTokens) {
  for (const RouterConfig& router : {top_k(2), top_p()}) {
    SmallExpert model(small_model(router, {}));
    const at::Tensor none = at::zeros({0, kHidden}, at::TensorOptions(at::kDouble));
    const SmallExpert::Pass pass = model.run_step(none, none, route(logits_of(0, 1), router));
    EXPECT_EQ(pass.y.size(0), 0);
    EXPECT_EQ(pass.dx.size(0), 0);
    EXPECT_EQ(model.store().dense_gradients().abs().max().item<double>(), 0);
  }
}

TEST(GeneratedExpert, TokensWithNonFiniteLogitsTakeTheSetOfTheFirstExperts) {
  SmallExpert model(small_model(top_k(2), {}));
  at::Tensor logits = logits_of(20, 20);
  logits[3].fill_(std::numeric_limits<double>::quiet_NaN());
  logits[4].copy_(test_values("descending", {kExperts}).mul(0));  // ties: experts 0 and 1
  const at::Tensor x = test_values("x", {1, kHidden}).expand({20, kHidden}).contiguous();
  const at::Tensor y = model.forward(0, x, route(logits, top_k(2))).y;
  EXPECT_TRUE(y[3].equal(y[4]));
}

TEST(GeneratedExpert, TokensOfOneSetHaveTheSameWeightsWhateverTheirGates) {
  SmallExpert model(small_model(top_k(2), {}));
  at::Tensor logits = logits_of(20, 20);
  logits[7] = logits[2].mul(3);  // the same order, other probabilities
  const at::Tensor x = test_values("x", {1, kHidden}).expand({20, kHidden}).contiguous();
  const at::Tensor y = model.forward(0, x, route(logits, top_k(2))).y;
  EXPECT_TRUE(y[7].equal(y[2]));
  EXPECT_FALSE(y[7].equal(y[3]));
}

TEST(GeneratedExpert, DoesNotSeeTheRoutersProbabilitiesUnlessGated) {
  for (const bool gated : {false, true}) {
    SmallExpert model(small_model(top_k(2), {.gated = gated}));
    const at::Tensor x = test_values("x", {20, kHidden});
    Routing routing = route(logits_of(20, 20), top_k(2));
    const SmallExpert::Pass pass = model.run(0, x, x, routing);
    EXPECT_EQ(pass.dmass.defined() ? pass.dmass.numel() : 0, gated ? 20 : 0);
    routing.probabilities.mul_(0.5);
    for (double& gate : routing.gate) gate *= 0.5;
    const at::Tensor scaled = model.forward(0, x, routing).y;
    if (gated) {
      EXPECT_LT(relative_difference(scaled, pass.y.mul(0.5)), 1e-14);
    } else {
      EXPECT_TRUE(scaled.equal(pass.y));
    }
  }
}

/// From one token: zero where its own experts are, the same for all others.
TEST(GeneratedExpert, EmbeddingsOfUnselectedExpertsAloneLearnAndAlike) {
  SmallExpert model(small_model(top_k(2), {}));
  const at::Tensor x = test_values("x", {1, kHidden});
  const Routing routing = route(logits_of(1, 1), top_k(2));
  model.run_step(x, x, routing);
  const at::Tensor gradient = model.store().dense("layers.0.hyper.embedding").gradient;
  at::Tensor others;
  for (std::int32_t expert = 0; expert < kExperts; ++expert) {
    if (expert == routing.expert[0] || expert == routing.expert[1]) {
      EXPECT_EQ(gradient[expert].abs().max().item<double>(), 0) << expert;
    } else {
      if (!others.defined()) others = gradient[expert];
      EXPECT_TRUE(gradient[expert].equal(others)) << expert;
      EXPECT_GT(gradient[expert].abs().max().item<double>(), 1e-9);
    }
  }
}

TEST(GeneratedExpert, GeneratesAgainWhenParametersChangeAndOnlyThen) {
  SmallExpert model(small_model(top_k(2), {}));
  const at::Tensor x = test_values("x", {20, kHidden});
  const Routing routing = route(logits_of(20, 20), top_k(2));
  const at::Tensor before = model.forward(0, x, routing).y;
  model.forward(1, x, routing);
  EXPECT_EQ(model.generations(), 1);  // evaluation: all layers, as long as nothing changes
  const at::Tensor one = x.narrow(0, 0, 1).contiguous();
  EXPECT_LT(relative_difference(model.forward(0, one, route(logits_of(1, 1), top_k(2))).y,
                                before.narrow(0, 0, 1)),
            1e-14);
  EXPECT_EQ(model.generations(), 1);  // a single token takes what is there
  at::Tensor head = model.store().dense("hypernetwork.up_bias.weight").value;
  head.mul_(2);
  EXPECT_TRUE(model.forward(0, x, routing).y.equal(before));
  model.expert().parameters_changed();
  EXPECT_FALSE(model.forward(0, x, routing).y.equal(before));
  EXPECT_EQ(model.generations(), 2);
  model.run_step(x, x, routing);  // the update of the step will change them
  head.mul_(0.5);
  EXPECT_TRUE(model.forward(0, x, routing).y.equal(before));
  EXPECT_EQ(model.generations(), 3);
}

/// Released sizes, first values: HyperMoE's analysis gives about 3e-4.
TEST(GeneratedExpert, BeginsNearZero) {
  ModelConfig config;
  config.hidden_size = 256;
  config.num_layers = 1;
  config.hyper.enabled = true;
  ParameterStore store(config, {}, at::kFloat);
  for (const TensorSpec& spec : store.dense_specs()) {
    at::Tensor value = store.dense(spec.name).value;
    initial_rows(1, spec.name, spec.initial, 0, spec.columns,
                 {value.mutable_data_ptr<float>(), static_cast<std::size_t>(value.numel())});
  }
  GeneratedExpert expert(config, store, [](PassState&) {});
  const at::Tensor x = test_values("x", {64, 256}).to(at::kFloat);
  const at::Tensor logits = test_values("logits", {64, 8}).to(at::kFloat);
  PassState pass = pass_of(64, 1);
  const at::Tensor y = expert.forward(0, x, route(logits, config.router), pass).y;
  const double mean = y.abs().mean().item<double>();
  EXPECT_GT(mean, 3e-5);
  EXPECT_LT(mean, 1e-3);
}

}  // namespace
}  // namespace hetmoe
