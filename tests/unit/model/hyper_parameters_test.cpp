#include "core/model/hyper_parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace hetmoe {
namespace {

/// GPT-2's sizes in the released code.
ModelConfig released_model(HyperKind kind = HyperKind::kGenerated) {
  ModelConfig config;
  config.hidden_size = 768;
  config.num_layers = 12;
  config.num_heads = 12;
  config.num_kv_heads = 12;
  config.hyper.enabled = true;
  config.hyper.kind = kind;
  return config;
}

TensorSpec spec_of(const ModelConfig& config, const std::string& name) {
  for (const TensorSpec& spec : dense_tensor_specs(config)) {
    if (spec.name == name) return spec;
  }
  ADD_FAILURE() << "no tensor " << name;
  return {};
}

std::int64_t elements(const std::vector<TensorSpec>& specs) {
  std::int64_t sum = 0;
  for (const TensorSpec& spec : specs) sum += spec.elements();
  return sum;
}

/// HyperMoE notes, section 1.5: hypernetwork 12,806,336, layer table 120, 34,048 per layer.
TEST(HyperParameters, AreAsManyAsTheReleasedCodeHas) {
  const ModelConfig config = released_model();
  EXPECT_EQ(elements(hypernetwork_specs(config)), 12806336 + 120 + 12 * 34048);
  ModelConfig plain = config;
  plain.hyper.enabled = false;
  EXPECT_EQ(total_parameters(config) - total_parameters(plain), 13215032);
  EXPECT_EQ(active_parameters(config, 1024) - active_parameters(plain, 1024), 13215032);
}

TEST(HyperParameters, GenerateTheValuesOfAFreeAdapterPerSet) {
  EXPECT_EQ(generated_values(released_model()), 99136);
}

TEST(HyperParameters, OfFreeAdaptersAreOnePerLayerOrOnePerExpert) {
  ModelConfig plain = released_model();
  plain.hyper.enabled = false;
  const std::int64_t adapter = 2 * 768 * 64 + 768 + 64;
  const ModelConfig shared = released_model(HyperKind::kSharedAdapter);
  EXPECT_EQ(total_parameters(shared) - total_parameters(plain), 12 * adapter);
  EXPECT_EQ(active_parameters(shared, 2 * 1024) - active_parameters(plain, 2 * 1024), 12 * adapter);
  const ModelConfig experts = released_model(HyperKind::kExpertAdapters);
  EXPECT_EQ(total_parameters(experts) - total_parameters(plain), 12 * 8 * adapter);
  EXPECT_EQ(active_parameters(experts, 2 * 1024) - active_parameters(plain, 2 * 1024),
            12 * 2 * adapter);
}

TEST(HyperParameters, LieInTheHypernetworksBlockAfterTheHeadOrInTheirLayers) {
  const ModelConfig config = released_model();
  const auto specs = dense_tensor_specs(config);
  const auto first = std::ranges::find(specs, hypernetwork_block(config), &TensorSpec::block);
  EXPECT_EQ((first - 1)->name, "head");
  EXPECT_EQ(elements({first, specs.end()}), 13215032);
  EXPECT_EQ(spec_of(config, "layers.3.hyper.embedding").block, 13);
  for (const HyperKind kind : {HyperKind::kSharedAdapter, HyperKind::kExpertAdapters}) {
    const auto adapters = dense_tensor_specs(released_model(kind));
    EXPECT_TRUE(std::ranges::is_sorted(adapters, {}, &TensorSpec::block));
    EXPECT_EQ(spec_of(released_model(kind), "layers.3.hyper.up").block, 3);
  }
}

TEST(HyperParameters, BeginAsTheReleasedCodeBegins) {
  const ModelConfig config = released_model();
  const auto initial = [&](const std::string& name) { return spec_of(config, name).initial; };
  EXPECT_EQ(initial("layers.0.hyper.embedding").kind, Initial::Kind::kNormal);
  EXPECT_EQ(initial("layers.0.hyper.embedding").scale, 1);
  EXPECT_EQ(initial("hypernetwork.layer_embedding").kind, Initial::Kind::kNormal);
  const auto expect_uniform = [&](const std::string& name, double bound) {
    EXPECT_EQ(initial(name).kind, Initial::Kind::kUniform) << name;
    EXPECT_NEAR(initial(name).scale, bound, 5e-3 * bound) << name;
  };
  expect_uniform("layers.0.hyper.process.weight", 1 / std::sqrt(128.0));
  expect_uniform("layers.0.hyper.project.bias", 1 / std::sqrt(128.0));
  expect_uniform("hypernetwork.hidden.weight", 1 / std::sqrt(138.0));
  expect_uniform("hypernetwork.hidden.bias", 1 / std::sqrt(138.0));
  expect_uniform("hypernetwork.up.weight", 1.91e-5);
  expect_uniform("hypernetwork.down.weight", 5.52e-6);
  expect_uniform("hypernetwork.up_bias.weight", 1.53e-4);
  expect_uniform("hypernetwork.down_bias.weight", 1.53e-4);
  for (const std::string head : {"up", "down", "up_bias", "down_bias"}) {
    EXPECT_EQ(initial("hypernetwork." + head + ".bias").kind, Initial::Kind::kConstant);
    EXPECT_EQ(initial("hypernetwork." + head + ".bias").scale, 0);
  }
}

TEST(HyperParameters, OfFreeAdaptersBeginWithAnOutputOfZero) {
  const ModelConfig config = released_model(HyperKind::kExpertAdapters);
  EXPECT_EQ(spec_of(config, "layers.0.hyper.down").initial.kind, Initial::Kind::kUniform);
  EXPECT_NEAR(spec_of(config, "layers.0.hyper.down").initial.scale, 1 / std::sqrt(768.0), 1e-9);
  for (const std::string name : {"up", "up_bias", "down_bias"}) {
    const TensorSpec spec = spec_of(config, "layers.0.hyper." + name);
    EXPECT_EQ(spec.initial.kind, Initial::Kind::kConstant) << name;
    EXPECT_EQ(spec.initial.scale, 0) << name;
  }
}

TEST(HyperParameters, VectorsDoNotDecay) {
  for (const HyperKind kind : {HyperKind::kGenerated, HyperKind::kExpertAdapters}) {
    for (const TensorSpec& spec : dense_tensor_specs(released_model(kind))) {
      if (spec.name.find("hyper") == std::string::npos) continue;
      EXPECT_EQ(spec.is_matrix,
                spec.name.find("bias") == std::string::npos || spec.name.ends_with("bias.weight"))
          << spec.name;
    }
  }
}

TEST(HyperFlops, AreThoseOfApplyingTheSmallExpert) {
  ModelConfig config = released_model();
  EXPECT_EQ(hyper_forward_flops_per_token(config), 4 * 768 * 64);
  ModelConfig plain = config;
  plain.hyper.enabled = false;
  EXPECT_EQ(hyper_forward_flops_per_token(plain), 0);
  EXPECT_NEAR(dense_forward_flops_per_token(config, 64) - dense_forward_flops_per_token(plain, 64),
              12 * 4 * 768 * 64, 1);
  config.hyper.kind = HyperKind::kExpertAdapters;
  EXPECT_EQ(hyper_forward_flops_per_token(config), 2 * 4 * 768 * 64);
}

}  // namespace
}  // namespace hetmoe
