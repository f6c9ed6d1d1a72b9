// A decoder that only evaluates: without gradient memory, and by what it expects next.

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/model/decoder.h"
#include "core/model/host_moe_layer.h"
#include "core/model/key_value_cache.h"
#include "core/model/local_token_dispatcher.h"
#include "tests/support/gradient_check.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kLength = 5;

struct DecoderCase {
  const char* name;
  bool qk_norm = false;
  bool tied = false;
  RouterKind router = RouterKind::kTopK;
  HyperConfig hyper;
};

ModelConfig model_of(const DecoderCase& c) {
  ModelConfig config;
  config.vocab_size = 7;
  config.hidden_size = 6;
  config.num_layers = 2;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 2;
  config.qk_norm = c.qk_norm;
  config.tie_embeddings = c.tied;
  config.experts.count = 3;
  config.experts.widths = {1, 2, 5};
  config.router.kind = c.router;
  config.router.top_k = 2;
  config.hyper = c.hyper;
  return config;
}

class SmallModel {
 public:
  SmallModel(const DecoderCase& c, GradientMemory gradients)
      : config_(model_of(c)),
        store_(config_, kSlices, at::kDouble, gradients),
        decoder_(config_, {store_, mixture_, gate_, listener_}) {
    store_.dense_values().copy_(test_values("dense", {store_.dense_elements()}, 0.6));
    for (int layer = 0; layer < 2; ++layer) {
      at::Tensor& values = store_.slice_values(layer);
      values.copy_(test_values(layer == 0 ? "first" : "second", values.sizes(), 0.6));
    }
  }

  ParameterStore& store() { return store_; }

  double loss(std::int64_t sequences, std::int64_t length, const std::vector<std::int32_t>& inputs,
              const std::vector<std::int32_t>& targets) {
    PassState pass = pass_over(sequences, length, inputs);
    pass.microbatch.targets = targets;
    return decoder_.evaluate(pass);
  }
  at::Tensor next(std::int64_t sequences, std::int64_t length,
                  const std::vector<std::int32_t>& inputs) {
    PassState pass = pass_over(sequences, length, inputs);
    return decoder_.next_token_logits(pass);
  }
  /// Of one sequence, after tokens that follow those in the cache.
  at::Tensor next(const std::vector<std::int32_t>& added, KeyValueCache& cache) {
    PassState pass = pass_over(1, static_cast<std::int64_t>(added.size()), added);
    return decoder_.next_token_logits(pass, &cache);
  }
  KeyValueCache empty_cache() const { return {config_, at::kDouble}; }
  double loss_from(std::int64_t first_row, const std::vector<std::int32_t>& inputs,
                   const std::vector<std::int32_t>& targets) {
    PassState pass = pass_over(1, static_cast<std::int64_t>(inputs.size()), inputs);
    pass.microbatch.targets = targets;
    return decoder_.evaluate(pass, first_row);
  }

 private:
  inline static const std::vector<Slice> kSlices = {{0, 0, 0, 1}, {0, 1, 0, 2}, {0, 2, 0, 5},
                                                    {1, 0, 0, 1}, {1, 1, 0, 2}, {1, 2, 0, 5}};

  PassState pass_over(std::int64_t sequences, std::int64_t length,
                      const std::vector<std::int32_t>& inputs) {
    return {.microbatch = {.sequences = sequences,
                           .length = length,
                           .inputs = inputs,
                           .targets = {},
                           .document_begin = {}},
            .statistics = &statistics_};
  }

  ModelConfig config_;
  ParameterStore store_;
  HostMixture mixture_{make_reference_expert_kernels(), make_local_token_dispatcher(kSlices)};
  OpenParameterGate gate_;
  NoGradientListener listener_;
  RouterStatistics statistics_{2, 3};
  Decoder decoder_;
};

const std::vector<std::int32_t> kInputs = {3, 1, 4, 1, 5, 6, 2, 6, 0, 3};
const std::vector<std::int32_t> kTargets = {1, 4, 1, 5, 2, 2, 6, 0, 3, 5};

class InferenceDecoder : public testing::TestWithParam<DecoderCase> {};

TEST_P(InferenceDecoder, NeedsNoGradientMemory) {
  SmallModel with(GetParam(), GradientMemory::kHeld);
  SmallModel without(GetParam(), GradientMemory::kNone);
  EXPECT_FALSE(without.store().dense_gradients().defined());
  EXPECT_FALSE(without.store().slice_gradients(1).defined());
  EXPECT_FALSE(without.store().dense("final_norm").gradient.defined());
  EXPECT_FALSE(without.store().layer_weights(0)[1].down_gradient.defined());
  EXPECT_EQ(without.store().elements(), with.store().elements());
  EXPECT_EQ(without.loss(2, kLength, kInputs, kTargets), with.loss(2, kLength, kInputs, kTargets));
}

/// -log softmax(logits)[target].
double cross_entropy_of(const at::Tensor& logits, std::int32_t target) {
  const auto* value = logits.const_data_ptr<double>();
  const double peak = *std::max_element(value, value + logits.numel());
  double sum = 0;
  for (std::int64_t i = 0; i < logits.numel(); ++i) sum += std::exp(value[i] - peak);
  return std::log(sum) + peak - value[target];
}

TEST_P(InferenceDecoder, LogitsOfEveryPrefixGiveTheLoss) {
  SmallModel model(GetParam(), GradientMemory::kNone);
  double sum = 0;
  for (std::int64_t length = 1; length <= kLength; ++length) {
    // Both sequences cut to their first tokens.
    std::vector<std::int32_t> inputs(kInputs.begin(), kInputs.begin() + length);
    inputs.insert(inputs.end(), kInputs.begin() + kLength, kInputs.begin() + kLength + length);
    const at::Tensor logits = model.next(2, length, inputs);
    ASSERT_EQ(logits.sizes(), (std::vector<std::int64_t>{2, 7}));
    sum += cross_entropy_of(logits[0].contiguous(), kTargets[length - 1]);
    sum += cross_entropy_of(logits[1].contiguous(), kTargets[kLength + length - 1]);
  }
  const double loss = model.loss(2, kLength, kInputs, kTargets);
  EXPECT_NEAR(sum, loss, 1e-9 * loss);
}

TEST_P(InferenceDecoder, LossesOfTheLastRowsAreWhatTheOthersLeaveOver) {
  SmallModel model(GetParam(), GradientMemory::kNone);
  const double whole = model.loss_from(0, kInputs, kTargets);
  for (const std::size_t rows : {1U, 4U, 9U}) {
    const double begin = model.loss_from(0, {kInputs.begin(), kInputs.begin() + rows},
                                         {kTargets.begin(), kTargets.begin() + rows});
    EXPECT_NEAR(model.loss_from(static_cast<std::int64_t>(rows), kInputs, kTargets), whole - begin,
                1e-9 * whole);
  }
}

/// The largest difference of two tensors' values.
double distance(const at::Tensor& a, const at::Tensor& b) {
  return a.sub(b).abs().max().item<double>();
}

// The parts are longer and shorter than a block of queries, and make the cache grow.
TEST_P(InferenceDecoder, ACacheGivesTheLogitsOfTheWholeText) {
  SmallModel model(GetParam(), GradientMemory::kNone);
  for (const std::vector<int>& parts : {std::vector{1, 1, 1, 1}, {5, 1, 1}, {70, 1, 1, 67, 2}}) {
    KeyValueCache cache = model.empty_cache();
    std::vector<std::int32_t> text;
    for (const int part : parts) {
      std::vector<std::int32_t> added;
      for (int i = 0; i < part; ++i) {
        added.push_back(static_cast<std::int32_t>((text.size() * text.size() + 3) % 7));
        text.push_back(added.back());
      }
      const at::Tensor logits = model.next(added, cache);
      const auto length = static_cast<std::int64_t>(text.size());
      EXPECT_EQ(cache.length(), length);
      EXPECT_LT(distance(logits, model.next(1, length, text)), 1e-11) << length;
    }
  }
}

// A pass that ended early has left nothing behind.
TEST(KeyValueCache, HoldsTokensOnceAllLayersHaveThem) {
  const DecoderCase plain{.name = "plain", .hyper = {}};
  KeyValueCache cache(model_of(plain), at::kFloat);
  const auto heads = [](double value) { return at::full({2, 3, 2}, value); };
  cache.append(0, heads(1), heads(2));
  const KeyValueCache::Heads again = cache.append(0, heads(3), heads(4));
  EXPECT_EQ(cache.length(), 0);
  EXPECT_EQ(again.key.sizes(), (std::vector<std::int64_t>{2, 3, 2}));
  EXPECT_EQ(distance(again.key, heads(3)), 0);
  EXPECT_THROW(cache.advance(3), InternalError);  // the second layer has none
}

TEST_P(InferenceDecoder, ARankWithoutSequencesGetsNoLogits) {
  SmallModel model(GetParam(), GradientMemory::kNone);
  EXPECT_EQ(model.next(0, 1, {}).sizes(), (std::vector<std::int64_t>{0, 7}));
}

HyperConfig hyper_of(HyperKind kind) {
  HyperConfig hyper;
  hyper.enabled = true;
  hyper.kind = kind;
  hyper.rank = 3;
  hyper.hidden = 4;
  hyper.embedding = 3;
  hyper.process = 4;
  hyper.input = 4;
  hyper.layer_embedding = 2;
  return hyper;
}

INSTANTIATE_TEST_SUITE_P(
    Models, InferenceDecoder,
    testing::Values(DecoderCase{.name = "plain", .hyper = {}},
                    DecoderCase{.name = "qk_norm_tied", .qk_norm = true, .tied = true, .hyper = {}},
                    DecoderCase{.name = "top_p", .router = RouterKind::kTopP, .hyper = {}},
                    DecoderCase{.name = "generated", .hyper = hyper_of(HyperKind::kGenerated)},
                    DecoderCase{.name = "shared", .hyper = hyper_of(HyperKind::kSharedAdapter)},
                    DecoderCase{.name = "adapters", .hyper = hyper_of(HyperKind::kExpertAdapters)}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace hetmoe
