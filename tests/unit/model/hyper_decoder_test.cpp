#include <ATen/ops/empty.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "core/model/decoder.h"
#include "core/model/host_moe_layer.h"
#include "core/model/local_token_dispatcher.h"
#include "core/model/router.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kTokens = 24;
constexpr std::int64_t kHidden = 32;
const std::vector<Slice> kSlices = {{0, 0, 0, 3}, {0, 1, 0, 4}, {0, 2, 0, 5}, {0, 3, 0, 9}};

ModelConfig small_model(bool enabled, HyperKind kind = HyperKind::kGenerated) {
  ModelConfig config;
  config.vocab_size = 7;
  config.hidden_size = kHidden;
  config.num_layers = 1;
  config.num_heads = 2;
  config.num_kv_heads = 2;
  config.experts.count = 4;
  config.experts.widths = {3, 4, 5, 9};
  config.hyper = {.enabled = enabled, .kind = kind, .rank = 32, .hidden = 32};
  return config;
}

/// A model of one layer, with or without its small expert; what they share is the same.
class SmallModel {
 public:
  SmallModel(const ModelConfig& config, at::ScalarType type)
      : store_(config, kSlices, type),
        hyper_(make_hyper_expert(config, store_, [](PassState&) {})),
        layer_(mixture_.make_layer(config, 0, {store_, hyper_.get()})),
        decoder_(config, {store_, mixture_, gate_, listener_}) {
    for (const TensorSpec& spec : store_.dense_specs()) {
      at::Tensor value = store_.dense(spec.name).value;
      value.copy_(test_values(spec.name.c_str(), value.sizes(), 0.3));
    }
    store_.slice_values(0).copy_(test_values("slices", {store_.slice_values(0).numel()}, 0.3));
  }

  /// y of the layer alone, and dx for dy = x.
  std::pair<at::Tensor, at::Tensor> layer(const at::Tensor& x) {
    PassState pass = make_pass();
    const at::Tensor leaf = x.clone().requires_grad_(true);
    const at::Tensor y = layer_->forward(leaf, pass);
    torch::autograd::backward({y}, {x});
    if (hyper_) hyper_->finish_gradients();
    return {y.detach(), leaf.grad()};
  }

  HyperExpert& hyper() { return *hyper_; }
  ParameterStore& store() { return store_; }
  Routing routing(const at::Tensor& x) {
    return route(x.mm(store_.dense("layers.0.router").value.t()), RouterConfig{});
  }
  PassState make_pass() {
    statistics_.clear();
    return {.microbatch = {.sequences = 4,
                           .length = kTokens / 4,
                           .inputs = tokens_,
                           .targets = tokens_,
                           .global_tokens = kTokens},
            .statistics = &statistics_};
  }
  double evaluate() {
    PassState pass = make_pass();
    return decoder_.evaluate(pass);
  }

 private:
  ParameterStore store_;
  OpenParameterGate gate_;
  NoGradientListener listener_;
  HostMixture mixture_{make_cpu_expert_kernels(), make_local_token_dispatcher(kSlices)};
  RouterStatistics statistics_{1, 4};
  std::vector<std::int32_t> tokens_ = std::vector<std::int32_t>(kTokens, 3);
  std::unique_ptr<HyperExpert> hyper_;
  std::unique_ptr<MoeLayer> layer_;
  Decoder decoder_;
};

TEST(HyperLayer, IsTheMixturePlusTheSmallExpert) {
  for (const HyperKind kind :
       {HyperKind::kGenerated, HyperKind::kSharedAdapter, HyperKind::kExpertAdapters}) {
    SmallModel plain(small_model(false), at::kDouble);
    SmallModel with(small_model(true, kind), at::kDouble);
    const at::Tensor x = test_values("x", {kTokens, kHidden});
    const auto [y, dx] = with.layer(x);
    const auto [plain_y, plain_dx] = plain.layer(x);
    const Routing routing = with.routing(x);
    PassState pass = with.make_pass();
    const HyperExpert::Output small = with.hyper().forward(0, x, routing, pass);
    const at::Tensor small_dx = with.hyper().backward(0, x, x, routing, *small.context).dx;
    EXPECT_LT(relative_difference(y, plain_y + small.y), 1e-14);
    EXPECT_LT(relative_difference(dx, plain_dx + small_dx), 1e-14);
    EXPECT_GT(relative_difference(y, plain_y), 1e-2);
  }
}

/// Ungated: the router learns what it would learn from the mixture alone.
TEST(HyperLayer, GivesTheRouterNoGradient) {
  SmallModel plain(small_model(false), at::kDouble);
  SmallModel with(small_model(true), at::kDouble);
  const at::Tensor x = test_values("x", {kTokens, kHidden});
  plain.layer(x);
  with.layer(x);
  const at::Tensor gradient = with.store().dense("layers.0.router").gradient;
  EXPECT_TRUE(gradient.equal(plain.store().dense("layers.0.router").gradient));
  EXPECT_GT(gradient.abs().max().item<double>(), 1e-6);
}

TEST(HyperLayer, WithTheHeadsAtZeroIsThePlainMixtureBitForBit) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    SmallModel plain(small_model(false), type);
    SmallModel with(small_model(true), type);
    for (const std::string head : {"down", "up", "down_bias", "up_bias"}) {
      with.store().dense("hypernetwork." + head + ".weight").value.zero_();
      with.store().dense("hypernetwork." + head + ".bias").value.zero_();
    }
    const at::Tensor x = test_values("x", {kTokens, kHidden}).to(type);
    const auto [y, dx] = with.layer(x);
    const auto [plain_y, plain_dx] = plain.layer(x);
    EXPECT_TRUE(y.equal(plain_y));
    EXPECT_TRUE(dx.equal(plain_dx));
  }
}

TEST(HyperLayer, AgreesWithDoubleInBfloat) {
  for (const HyperKind kind :
       {HyperKind::kGenerated, HyperKind::kSharedAdapter, HyperKind::kExpertAdapters}) {
    SmallModel bfloat(small_model(true, kind), at::kBFloat16);
    SmallModel exact(small_model(true, kind), at::kDouble);
    exact.store().dense_values().copy_(bfloat.store().dense_values());
    const at::Tensor x = test_values("x", {kTokens, kHidden}).to(at::kBFloat16);
    const Routing routing = exact.routing(x.to(at::kDouble));
    PassState pass = exact.make_pass();
    const auto result = bfloat.hyper().forward(0, x, routing, pass);
    const auto expected = exact.hyper().forward(0, x.to(at::kDouble), routing, pass);
    EXPECT_LT(relative_difference(result.y, expected.y), 2e-2);
    EXPECT_LT(relative_difference(
                  bfloat.hyper().backward(0, x, x, routing, *result.context).dx,
                  exact.hyper()
                      .backward(0, x.to(at::kDouble), x.to(at::kDouble), routing, *expected.context)
                      .dx),
              4e-2);
    bfloat.hyper().finish_gradients();
    exact.hyper().finish_gradients();
    EXPECT_LT(
        relative_difference(bfloat.store().dense_gradients(), exact.store().dense_gradients()),
        5e-2);
  }
}

/// The cross entropy of a constant input, whatever weight the auxiliary losses have: the released
/// code's perplexity had its balance loss inside.
TEST(HyperDecoder, EvaluatesWithoutAuxiliaryLosses) {
  ModelConfig config = small_model(true);
  config.router.parameter_penalty = 0;
  const double without = SmallModel(config, at::kDouble).evaluate();
  config.router.parameter_penalty = 10;
  config.router.load_balance = 10;
  config.router.entropy = 10;
  EXPECT_EQ(SmallModel(config, at::kDouble).evaluate(), without);
}

}  // namespace
}  // namespace hetmoe
