#include "core/model/parameter_store.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/base/error.h"

namespace hetmoe {
namespace {

ModelConfig small_model() {
  ModelConfig config;
  config.vocab_size = 11;
  config.hidden_size = 8;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.experts.count = 2;
  config.experts.widths = {3, 5};
  return config;
}

/// Where a view begins in the flat buffer.
std::int64_t offset_in(const at::Tensor& flat, const at::Tensor& view) {
  return view.const_data_ptr<float>() - flat.const_data_ptr<float>();
}

TEST(ParameterStore, ASliceIsContiguousRowsOfGateThenUpThenDown) {
  ParameterStore store(small_model(), {{0, 1, 2, 5}, {1, 0, 0, 3}, {1, 1, 0, 4}}, at::kFloat);
  ASSERT_EQ(store.layer_weights(0).size(), 1U);
  ASSERT_EQ(store.layer_weights(1).size(), 2U);
  std::int64_t all = store.dense_elements();
  for (int layer = 0; layer < 2; ++layer) {
    std::int64_t expected = 0;
    for (std::size_t i = 0; i < store.layer_weights(layer).size(); ++i) {
      const SliceWeights& weights = store.layer_weights(layer)[i];
      const std::int64_t width = store.layer_slices(layer)[i].width();
      EXPECT_EQ(weights.gate_up.sizes(), (std::vector<std::int64_t>{2 * width, 8}));
      EXPECT_EQ(weights.down.sizes(), (std::vector<std::int64_t>{width, 8}));
      EXPECT_EQ(offset_in(store.slice_values(layer), weights.gate_up), expected);
      EXPECT_EQ(offset_in(store.slice_values(layer), weights.down), expected + 2 * width * 8);
      EXPECT_EQ(offset_in(store.slice_gradients(layer), weights.gate_up_gradient), expected);
      EXPECT_EQ(offset_in(store.slice_gradients(layer), weights.down_gradient),
                expected + 2 * width * 8);
      EXPECT_TRUE(weights.gate_up.is_contiguous() && weights.down.is_contiguous());
      expected += 3 * width * 8;
    }
    EXPECT_EQ(store.slice_values(layer).numel(), expected);
    all += expected;
  }
  EXPECT_EQ(store.elements(), all);
  EXPECT_EQ(store.slice_count(), 3);
}

TEST(ParameterStore, DenseTensorsFillTheirPartWithoutGapsOrOverlap) {
  for (const bool tied : {false, true}) {
    ModelConfig config = small_model();
    config.tie_embeddings = tied;
    config.qk_norm = true;
    ParameterStore store(config, {{0, 0, 0, 3}}, at::kFloat);
    std::set<std::int64_t> taken;
    for (const TensorSpec& spec : store.dense_specs()) {
      const std::int64_t begin = offset_in(store.dense_values(), store.dense(spec.name).value);
      EXPECT_EQ(begin, offset_in(store.dense_gradients(), store.dense(spec.name).gradient));
      EXPECT_EQ(store.dense(spec.name).value.numel(), spec.elements());
      for (std::int64_t i = 0; i < spec.elements(); ++i) {
        EXPECT_TRUE(taken.insert(begin + i).second) << spec.name;
      }
    }
    EXPECT_EQ(static_cast<std::int64_t>(taken.size()), store.dense_elements());
    EXPECT_EQ(*taken.rbegin(), store.dense_elements() - 1);
  }
}

TEST(ParameterStore, QueryKeyAndValueAreOneMatrix) {
  ParameterStore store(small_model(), {}, at::kFloat);
  const Parameter rows = store.dense_rows("layers.1.attention.query", "layers.1.attention.value");
  ASSERT_EQ(rows.value.sizes(), (std::vector<std::int64_t>{(4 + 2 + 2) * 2, 8}));
  store.dense("layers.1.attention.query").value.fill_(1);
  store.dense("layers.1.attention.key").value.fill_(2);
  store.dense("layers.1.attention.value").value.fill_(3);
  for (std::int64_t row = 0; row < 16; ++row) {
    EXPECT_EQ(rows.value[row].sum().item<float>(), 8.0F * (row < 8 ? 1 : row < 12 ? 2 : 3));
  }
  rows.gradient.fill_(4);
  EXPECT_EQ(store.dense("layers.1.attention.key").gradient.sum().item<float>(), 4.0F * 4 * 8);
  EXPECT_EQ(store.dense("layers.0.attention.key").gradient.sum().item<float>(), 0.0F);
}

TEST(ParameterStore, ATiedHeadIsTheEmbedding) {
  ModelConfig config = small_model();
  config.tie_embeddings = true;
  ParameterStore tied(config, {}, at::kFloat);
  tied.dense("embedding").value.fill_(7);
  tied.dense("embedding").gradient.fill_(9);
  EXPECT_EQ(tied.dense("head").value.sum().item<float>(), 7.0F * 11 * 8);
  EXPECT_EQ(tied.dense("head").gradient.sum().item<float>(), 9.0F * 11 * 8);
  ParameterStore untied(small_model(), {}, at::kFloat);
  EXPECT_EQ(untied.elements() - tied.elements(), 11 * 8);
  untied.dense("embedding").value.fill_(7);
  EXPECT_EQ(untied.dense("head").value.sum().item<float>(), 0.0F);
}

TEST(ParameterStore, GradientsOfBfloat16AreFp32) {
  ParameterStore store(small_model(), {{0, 0, 0, 3}}, at::kBFloat16);
  EXPECT_EQ(store.dense_values().scalar_type(), at::kBFloat16);
  EXPECT_EQ(store.dense_gradients().scalar_type(), at::kFloat);
  EXPECT_EQ(store.slice_values(0).scalar_type(), at::kBFloat16);
  EXPECT_EQ(store.slice_gradients(0).scalar_type(), at::kFloat);
}

TEST(ParameterStore, SlicesOfALayerCanBeReplaced) {
  ParameterStore store(small_model(), {{0, 1, 2, 5}, {1, 0, 0, 3}}, at::kFloat);
  store.slice_gradients(0).fill_(1);
  store.slice_values(1).fill_(2);
  store.release_slice_gradients(0);
  at::Tensor values = store.slice_values(0).new_full({3 * 4 * 8}, 5);
  store.replace_slices(0, {{0, 0, 0, 1}, {0, 1, 0, 3}}, values);
  ASSERT_EQ(store.layer_weights(0).size(), 2U);
  EXPECT_EQ(store.layer_weights(0)[1].down.sizes(), (std::vector<std::int64_t>{3, 8}));
  EXPECT_EQ(store.layer_weights(0)[1].down.sum().item<float>(), 5.0F * 3 * 8);
  EXPECT_EQ(store.slice_gradients(0).abs().sum().item<float>(), 0.0F);
  EXPECT_EQ(store.slice_values(1).sum().item<float>(), 2.0F * 3 * 3 * 8);
  EXPECT_THROW(store.replace_slices(0, {{0, 0, 0, 2}}, values), InternalError);
}

TEST(ParameterStore, RefusesUnsortedSlicesAndUnknownNames) {
  EXPECT_THROW(ParameterStore(small_model(), {{1, 0, 0, 3}, {0, 0, 0, 3}}, at::kFloat),
               InternalError);
  ParameterStore store(small_model(), {}, at::kFloat);
  EXPECT_THROW(store.dense("layers.2.router"), InternalError);
}

ModelConfig paper_model(std::int64_t hidden, int layers, int heads, int experts,
                        std::int64_t mean_width) {
  ModelConfig config;
  config.vocab_size = 32000;
  config.hidden_size = hidden;
  config.num_layers = layers;
  config.num_heads = heads;
  config.num_kv_heads = heads;
  config.experts.count = experts;
  config.experts.mean_width = mean_width;
  return config;
}

double millions(std::int64_t parameters) { return static_cast<double>(parameters) / 1e6; }

/// arXiv 2408.10681, table 1 and appendix A. The routers come on top of what the paper counts.
TEST(ParameterCounts, AreThePapers) {
  const ModelConfig small = paper_model(768, 12, 12, 8, 1536);
  const double small_routers = 12 * 8 * 768 / 1e6;
  EXPECT_NEAR(millions(total_parameters(small)) - small_routers, 417.2, 0.05);
  EXPECT_NEAR(millions(active_parameters(small, 2 * 1536)) - small_routers, 162.4, 0.05);

  const ModelConfig dense_1b = paper_model(1024, 12, 16, 8, 4096);  // "1.32B", as Dense-1B
  EXPECT_NEAR(millions(total_parameters(dense_1b)), 1320, 5);

  const ModelConfig middle = paper_model(1024, 24, 16, 8, 4096);
  EXPECT_NEAR(millions(total_parameters(middle)), 2580, 5);
  EXPECT_NEAR(millions(active_parameters(middle, 2 * 4096)), 770, 1);

  const ModelConfig large = paper_model(2048, 40, 16, 16, 4096);
  EXPECT_NEAR(millions(total_parameters(large)), 16900, 50);
}

TEST(ParameterCounts, MatchASumByHandAndTheStore) {
  ModelConfig config = small_model();
  config.qk_norm = true;
  // Embedding and head 2 * 88; per layer: two norms 16, query 64, key and value 2 * 32, output 64,
  // head norms 2 * 2, router 16, experts 3 * 8 * 8; last norm 8.
  const std::int64_t expected = 2 * 88 + 2 * (16 + 64 + 64 + 64 + 4 + 16 + 192) + 8;
  EXPECT_EQ(total_parameters(config), expected);
  const ParameterStore store(config, {{0, 0, 0, 3}, {0, 1, 0, 5}, {1, 0, 0, 3}, {1, 1, 0, 5}},
                             at::kFloat);
  EXPECT_EQ(store.elements(), expected);
  EXPECT_EQ(active_parameters(config, 5), expected - 2 * 3 * 3 * 8);
}

}  // namespace
}  // namespace hetmoe
