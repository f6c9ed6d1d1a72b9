// Gradients are not cleared before a step: what was there must not reach them.
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "core/model/decoder.h"
#include "core/model/host_moe_layer.h"
#include "core/model/local_token_dispatcher.h"
#include "core/tensor/device.h"
#include "tests/support/gradient_check.h"
#include "tests/support/small_decoder.h"

namespace hetmoe {
namespace {

struct SumCase {
  const char* name;
  std::vector<std::int64_t> sequences = {2};  ///< by microbatch
  bool one_token = false;                     ///< all tokens are the same: one set is selected
  bool tied = false;
  bool qk_norm = false;
  RouterConfig router;
  HyperConfig hyper;
};

/// Sizes that packed kernels take, and more tokens in the vocabulary than occur.
ModelConfig model_of(const SumCase& c) {
  ModelConfig config = test::small_decoder(c.router, /*head_dim=*/32);
  config.vocab_size = 41;
  config.hidden_size = 32;
  config.qk_norm = c.qk_norm;
  config.tie_embeddings = c.tied;
  config.hyper = c.hyper;
  return config;
}

class StepOfSums {
 public:
  StepOfSums(const SumCase& c, at::ScalarType type)
      : case_(c),
        config_(model_of(c)),
        store_(config_, test::small_slices(), type),
        mixture_(make_expert_kernels(type, config_.hidden_size),
                 make_local_token_dispatcher(test::small_slices())),
        decoder_(config_, {store_, mixture_, gate_, listener_}) {
    test::set_values(store_, 0.5);
  }

  void fill_gradients(double value) {
    store_.dense_gradients().fill_(value);
    for (int layer = 0; layer < 2; ++layer) store_.slice_gradients(layer).fill_(value);
  }

  /// All microbatches, with an evaluation between each two.
  void run_microbatches() {
    const auto count = static_cast<std::int64_t>(case_.sequences.size());
    for (std::int64_t index = 0; index < count; ++index) {
      test::SmallText text(3 * index, case_.sequences[index]);
      if (case_.one_token) text.inputs.assign(text.inputs.size(), 5);
      PassState pass{.microbatch = {.sequences = case_.sequences[index],
                                    .length = test::kSmallLength,
                                    .inputs = text.inputs,
                                    .targets = text.targets,
                                    .global_tokens = 3 * test::kSmallLength,
                                    .microbatches = count,
                                    .index = index},
                     .statistics = &statistics_};
      statistics_.clear();
      decoder_.evaluate(pass);
      statistics_.clear();
      decoder_.forward(pass);
      decoder_.backward(pass);
    }
  }

  ParameterStore& store() { return store_; }

 private:
  SumCase case_;
  ModelConfig config_;
  ParameterStore store_;
  HostMixture mixture_;
  OpenParameterGate gate_;
  NoGradientListener listener_;
  RouterStatistics statistics_{2, 5};
  Decoder decoder_;
};

class GradientSums : public testing::TestWithParam<SumCase> {};

void expect_same(ParameterStore& begun, ParameterStore& added, const char* what) {
  for (const TensorSpec& spec : begun.dense_specs()) {
    EXPECT_TRUE(begun.dense(spec.name).gradient.equal(added.dense(spec.name).gradient))
        << spec.name << ", " << what;
  }
  for (int layer = 0; layer < 2; ++layer) {
    for (std::size_t i = 0; i < begun.layer_weights(layer).size(); ++i) {
      const SliceWeights& a = begun.layer_weights(layer)[i];
      const SliceWeights& b = added.layer_weights(layer)[i];
      EXPECT_TRUE(a.gate_up_gradient.equal(b.gate_up_gradient) &&
                  a.down_gradient.equal(b.down_gradient))
          << "layer " << layer << ", slice " << i << ", " << what;
    }
  }
}

TEST_P(GradientSums, ThatBeginAreThoseAddedToZerosBitForBit) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
    StepOfSums added(GetParam(), type);  // never begun: all parts are added
    StepOfSums begun(GetParam(), type);
    for (const char* what : {"first step", "step after one that left its gradients"}) {
      added.fill_gradients(0);
      added.run_microbatches();
      begun.fill_gradients(std::numeric_limits<double>::quiet_NaN());
      begun.store().begin_gradients();
      begun.run_microbatches();
      expect_same(begun.store(), added.store(), what);
    }
    begun.store().begin_gradients();  // on top of the values of the step before
    begun.run_microbatches();
    expect_same(begun.store(), added.store(), "step on finite values");
  }
}

HyperConfig hyper(HyperKind kind = HyperKind::kGenerated, std::int64_t memory_limit = 0) {
  return {.enabled = true,
          .kind = kind,
          .rank = 32,
          .hidden = 32,
          .embedding = 4,
          .process = 6,
          .input = 3,
          .layer_embedding = 2,
          .memory_limit = memory_limit};
}

RouterConfig top_1() {
  RouterConfig router;
  router.kind = RouterKind::kTopK;
  router.top_k = 1;
  return router;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, GradientSums,
    testing::Values(
        SumCase{.name = "one_microbatch"},
        SumCase{.name = "three_microbatches", .sequences = {2, 1, 3}},
        SumCase{.name = "no_tokens", .sequences = {0}},
        SumCase{.name = "no_tokens_at_first", .sequences = {0, 2}},
        SumCase{.name = "no_tokens_at_last", .sequences = {2, 0}},
        SumCase{.name = "experts_without_tokens", .one_token = true, .router = top_1()},
        SumCase{.name = "experts_with_tokens_later", .sequences = {1, 3, 2}, .router = top_1()},
        SumCase{.name = "tied", .sequences = {2, 1}, .tied = true, .qk_norm = true},
        SumCase{.name = "tied_without_tokens", .sequences = {0, 0}, .tied = true},
        SumCase{.name = "all_sets", .sequences = {2, 2}, .router = top_1(), .hyper = hyper()},
        SumCase{.name = "occurring_sets",
                .sequences = {2, 2},
                .one_token = true,
                .router = test::small_top_p(),
                .hyper = hyper()},
        SumCase{.name = "factorised",
                .sequences = {2, 2},
                .router = test::small_top_p(),
                .hyper = hyper(HyperKind::kGenerated, /*memory_limit=*/1)},
        SumCase{.name = "factorised_without_tokens",
                .sequences = {0, 2},
                .router = test::small_top_p(),
                .hyper = hyper(HyperKind::kGenerated, /*memory_limit=*/1)},
        SumCase{.name = "generated_without_tokens", .sequences = {0}, .hyper = hyper()},
        SumCase{
            .name = "one_adapter", .sequences = {2, 1}, .hyper = hyper(HyperKind::kSharedAdapter)},
        SumCase{.name = "adapters_of_experts",
                .sequences = {1, 2},
                .router = test::small_top_p(),
                .hyper = hyper(HyperKind::kExpertAdapters)},
        SumCase{.name = "adapters_without_tokens",
                .sequences = {0, 0},
                .hyper = hyper(HyperKind::kExpertAdapters)}),
    [](const auto& instance) { return instance.param.name; });

TEST(GradientSums, CasesHaveExpertsAndVocabularyWithoutTokens) {
  StepOfSums step({.name = "", .one_token = true, .router = top_1()}, at::kFloat);
  step.fill_gradients(std::numeric_limits<double>::quiet_NaN());
  step.store().begin_gradients();
  step.run_microbatches();
  int without = 0;
  for (const SliceWeights& slice : step.store().layer_weights(0)) {
    without += slice.down_gradient.abs().max().item<float>() == 0 ? 1 : 0;
  }
  EXPECT_GE(without, 3);
  EXPECT_LT(without, 6);
  const at::Tensor& embedding = step.store().dense("embedding").gradient;
  EXPECT_GT(embedding[5].abs().max().item<float>(), 0);
  EXPECT_EQ(embedding[4].abs().max().item<float>(), 0);
}

TEST(GradientSums, OfSlicesThatMovedBeginLikeOthers) {
  StepOfSums step({.name = ""}, at::kFloat);
  ParameterStore& store = step.store();
  store.begin_gradients();
  store.release_slice_gradients(0);
  store.replace_slices(0, {{0, 1, 0, 1}}, at::zeros({3 * 32}));
  EXPECT_EQ(store.slice_gradients(0).abs().max().item<float>(), 0);
  store.slice_gradients(0).fill_(7);
  store.finish_gradients(0);
  EXPECT_EQ(store.slice_gradients(0).min().item<float>(), 7) << "begun before they came";
  store.begin_gradients();
  store.finish_gradients(1);
  EXPECT_EQ(store.slice_gradients(0).min().item<float>(), 7) << "of another block";
  store.finish_gradients(0);
  EXPECT_EQ(store.slice_gradients(0).abs().max().item<float>(), 0);
}

TEST(GradientSums, OfRowsOfSeveralTensorsAreThoseOfEach) {
  StepOfSums step({.name = ""}, at::kFloat);
  ParameterStore& store = step.store();
  const std::string prefix = "layers.0.attention.";
  const Parameter all = store.dense_rows(prefix + "query", prefix + "value");
  EXPECT_EQ(all.next_sum(), GradientSum::kContinue) << "new gradients are zeros";
  store.begin_gradients();
  EXPECT_EQ(all.next_sum(), GradientSum::kBegin);
  EXPECT_EQ(all.next_sum(), GradientSum::kContinue);
  EXPECT_EQ(store.dense(prefix + "key").next_sum(), GradientSum::kContinue);
  EXPECT_EQ(store.dense(prefix + "output").next_sum(), GradientSum::kBegin);
}

}  // namespace
}  // namespace hetmoe
