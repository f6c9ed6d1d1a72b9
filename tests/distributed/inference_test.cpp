// A checkpoint loaded on any number of ranks against one process that holds the whole model.

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/model/parameter_store.h"
#include "runtime/inference/generation.h"
#include "runtime/inference/growing_sequence.h"
#include "runtime/inference/sampling.h"
#include "runtime/inference/sequence_losses.h"
#include "tests/distributed/inference_world.h"
#include "tests/support/whole_model.h"

namespace hetmoe::test {
namespace {

RunConfig with_hyper(HyperKind kind) {
  RunConfig config = small_model();
  config.model.hyper = {.enabled = true, .kind = kind, .rank = 3, .hidden = 6};
  config.model.hyper.embedding = 5;
  config.model.hyper.process = 4;
  config.model.hyper.input = 4;
  config.model.hyper.layer_embedding = 2;
  return config;
}

RunConfig one_key_head() {
  RunConfig config = small_model();
  config.model.num_kv_heads = 1;
  config.model.head_dim = 6;
  config.model.qk_norm = false;
  return config;
}

RunConfig tied_with_top_p() {
  RunConfig config = small_model();
  config.model.tie_embeddings = true;
  config.model.router.kind = RouterKind::kTopP;
  config.model.router.top_p = 0.7;
  return config;
}

struct InferenceCase {
  const char* name;
  RunConfig config;
  int files = 1;
  std::vector<std::string> settings = {};
};

class Inference : public testing::TestWithParam<InferenceCase> {
 protected:
  Inference() {
    fill(store_);
    folder_.save({.config = config_, .parameters = store_, .step = 40, .files = GetParam().files});
    model_ =
        std::make_unique<LoadedModel>(folder_.path(), GetParam().settings, test_world(), clock_);
  }

  const RunConfig& config_ = GetParam().config;
  ParameterStore store_ = whole_store(config_);
  SavedRun folder_;
  SystemClock clock_;
  std::unique_ptr<LoadedModel> model_;
};

TEST_P(Inference, EachRankHoldsItsRowsOfTheCheckpointAndAllTogetherHoldAll) {
  EXPECT_EQ(model_->step(), 40);
  for (const TensorSpec& spec : store_.dense_specs()) {
    EXPECT_TRUE(
        at::equal(model_->parameters().dense(spec.name).value, store_.dense(spec.name).value))
        << spec.name;
  }
  double rows = 0;
  for (int layer = 0; layer < config_.model.num_layers; ++layer) {
    const auto slices = model_->parameters().layer_slices(layer);
    for (std::size_t i = 0; i < slices.size(); ++i) {
      const SliceWeights& held = model_->parameters().layer_weights(layer)[i];
      const SliceWeights& all = store_.layer_weights(layer)[slices[i].expert];
      const std::int64_t width = slices[i].width();
      const auto part = [&](std::int64_t first) {
        return all.gate_up.narrow(0, first + slices[i].begin, width);
      };
      EXPECT_TRUE(at::equal(held.gate_up.narrow(0, 0, width), part(0)));
      EXPECT_TRUE(at::equal(held.gate_up.narrow(0, width, width), part(all.down.size(0))));
      EXPECT_TRUE(at::equal(held.down, all.down.narrow(0, slices[i].begin, width)));
      rows += static_cast<double>(width);
    }
  }
  test_world().all_reduce(buffer_of(std::span<double>(&rows, 1)), Reduction::kSum).wait();
  const int groups = GetParam().settings.empty() ? 1 : test_world().size();
  EXPECT_EQ(rows, groups * 2 * (3 + 4 + 6 + 11));
  EXPECT_FALSE(model_->parameters().dense_gradients().defined());
}

TEST_P(Inference, LossesAreThoseOfTheWholeModel) {
  // Longer than those of training (6) among them, and not a multiple of the ranks.
  std::vector<std::vector<std::int32_t>> sequences;
  for (const std::int64_t length : {2, 7, 3, 12, 5, 2, 9}) {
    std::vector<std::int32_t>& tokens = sequences.emplace_back();
    for (std::int64_t i = 0; i < length; ++i) {
      tokens.push_back(static_cast<std::int32_t>((3 * length + i * i * 5) % 13));
    }
  }
  WholeModel whole(config_, store_);
  const std::vector<SequenceLoss> losses = sequence_losses(*model_, sequences);
  ASSERT_EQ(losses.size(), sequences.size());
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const double expected = whole.loss_sum(sequences[i]);
    EXPECT_EQ(losses[i].tokens, static_cast<std::int64_t>(sequences[i].size()) - 1);
    EXPECT_NEAR(losses[i].loss_sum, expected, 1e-5 * expected) << i;
  }
}

/// The same, token by token, without the program's loop.
std::vector<std::int32_t> continued(WholeModel& whole, const GenerationRequest& request) {
  const CounterRandom random(request.seed, "generate");
  std::vector<std::int32_t> tokens = request.prompt;
  for (std::int64_t i = 0; i < request.max_tokens; ++i) {
    const std::vector<float> logits = whole.next_token_logits(tokens);
    tokens.push_back(sample_token(logits, request.sampling, random, i));
  }
  tokens.erase(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(request.prompt.size()));
  return tokens;
}

TEST_P(Inference, TokensAreThoseOfTheWholeModel) {
  WholeModel whole(config_, store_);
  GenerationRequest request{.prompt = {3, 1, 4}, .max_tokens = 11, .vocab_size = 13};
  const Sampling samplings[] = {{.temperature = 0},
                                {.temperature = 0.7},
                                {.temperature = 2},
                                {.temperature = 2, .top_k = 3},
                                {.temperature = 2, .top_k = 9, .top_p = 0.8}};
  for (const Sampling& sampling : samplings) {
    request.sampling = sampling;
    std::vector<std::int32_t> told;
    request.on_token = [&](std::int32_t token) { told.push_back(token); };
    const Generation generated = generate(*model_, request);
    EXPECT_EQ(told, generated.tokens);
    if (test_world().rank() != 0) continue;
    EXPECT_EQ(generated.tokens, continued(whole, request)) << sampling.temperature;
    EXPECT_FALSE(generated.ended);
  }
}

TEST_P(Inference, LogitsOfAGrowingSequenceAreThoseOfTheWholeModel) {
  WholeModel whole(config_, store_);
  std::vector<std::int32_t> text;
  for (std::int64_t i = 0; i < 90; ++i) text.push_back(static_cast<std::int32_t>((i * i + 5) % 13));
  // Every rank its own, or the first alone.
  for (const bool all : {true, false}) {
    const int rank = test_world().rank();
    const bool takes_part = all || rank == 0;
    GrowingSequence sequence(*model_);
    for (const int length : {3, 4, 5, 80, 81}) {
      const auto begin = std::span(text).subspan(all ? rank : 0, length);
      const std::vector<float> logits =
          sequence.next_token_logits(takes_part ? begin : std::span<const std::int32_t>());
      if (!takes_part) continue;
      const std::vector<float> expected = whole.next_token_logits(begin);
      ASSERT_EQ(logits.size(), expected.size());
      for (std::size_t i = 0; i < logits.size(); ++i) {
        EXPECT_NEAR(logits[i], expected[i], 1e-4) << length << " tokens, logit " << i;
      }
    }
  }
}

TEST_P(Inference, LossesOfContinuationsAreWhatTheirContextsLeaveOver) {
  std::vector<Continuation> continuations;
  std::vector<double> expected;
  WholeModel whole(config_, store_);
  for (const std::int64_t length : {2, 9, 3, 30, 5}) {
    Continuation one{.scored = length / 2};
    for (std::int64_t i = 0; i < length; ++i) {
      one.tokens.push_back(static_cast<std::int32_t>((5 * length + i * i * 3) % 13));
    }
    const std::size_t context = one.tokens.size() - static_cast<std::size_t>(one.scored);
    expected.push_back(whole.loss_sum(one.tokens));
    if (context > 1) expected.back() -= whole.loss_sum(std::span(one.tokens).first(context));
    // Those of the other ranks do not count.
    if (test_world().rank() == 0) continuations.push_back(one);
  }
  const std::vector<double> losses = continuation_losses(*model_, continuations);
  ASSERT_EQ(losses.size(), expected.size());
  for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 1e-4) << i;
}

INSTANTIATE_TEST_SUITE_P(
    Models, Inference,
    testing::Values(InferenceCase{"one_file", small_model()},
                    InferenceCase{"three_files", small_model(), 3},
                    InferenceCase{"generated_expert", with_hyper(HyperKind::kGenerated), 3},
                    InferenceCase{"expert_adapters", with_hyper(HyperKind::kExpertAdapters), 2},
                    InferenceCase{"tied_with_top_p", tied_with_top_p(), 3},
                    InferenceCase{"one_key_head", one_key_head(), 2},
                    InferenceCase{
                        "a_copy_per_rank", small_model(), 2, {"parallel.expert_group_size=1"}}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace hetmoe::test
