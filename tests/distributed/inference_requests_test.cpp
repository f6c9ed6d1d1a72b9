// What is asked of a loaded model: limits, precision, ends, and what is refused on all ranks alike.

#include <ATen/ops/equal.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/data/token_shard_writer.h"
#include "core/model/parameter_store.h"
#include "runtime/inference/generation.h"
#include "runtime/inference/held_out_loss.h"
#include "runtime/inference/sequence_losses.h"
#include "tests/distributed/inference_world.h"
#include "tests/support/whole_model.h"

namespace hetmoe::test {
namespace {

using testing::HasSubstr;

/// One checkpoint of the small model.
class Loaded : public testing::Test {
 protected:
  LoadedModel load(const RunConfig& config) {
    folder_.save({.config = config, .parameters = store_, .step = ++step_});
    return {folder_.path(), {}, test_world(), clock_};
  }
  /// The error that every rank is told.
  std::pair<ExitCode, std::string> refusal(const std::function<void()>& work) {
    try {
      work();
    } catch (const AgreedError& error) {
      return {error.exit_code(), error.what()};
    }
    return {ExitCode::kDone, ""};
  }

  RunConfig config_ = small_model();
  ParameterStore store_ = whole_store(config_);
  SavedRun folder_;
  SystemClock clock_;
  std::int64_t step_ = 0;
};

TEST_F(Loaded, HeldOutLossIsTheMeanOverWindowsInOrder) {
  fill(store_);
  std::vector<std::int32_t> text(200);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::int32_t>(i * i % 13);
  const std::string prefix = (folder_.path() / "valid").string();
  collectively(test_world(), [&] {
    if (test_world().rank() != 0) return;
    TokenShardWriter writer(prefix, 13);
    writer.append_document(text);
    writer.finish({.tokenizer_name = "bytes",
                   .vocab_size = 13,
                   .tokenizer_digest = "xxh3-128:0",
                   .raw_bytes = 300});
  });
  LoadedModel model = load(config_);
  WholeModel whole(config_, store_);
  const auto expect_windows = [&](std::optional<std::int64_t> max_tokens, std::int64_t windows) {
    double sum = 0;
    for (std::int64_t i = 0; i < windows; ++i)
      sum += whole.loss_sum(std::span(text).subspan(6 * i, 7));
    const EvaluationRecord record = held_out_loss(model, prefix, max_tokens);
    EXPECT_EQ(record.tokens, windows * 6);
    EXPECT_EQ(record.step, 1);
    EXPECT_NEAR(record.loss, sum / (windows * 6.0), 1e-5 * record.loss);
    EXPECT_NEAR(record.bits_per_byte, record.loss / std::log(2.0) * 200 / 300, 1e-9);
  };
  expect_windows({}, 5);  // evaluate.tokens 30
  expect_windows(13, 3);  // whole windows
  expect_windows(0, 33);  // all that there is
}

TEST_F(Loaded, PrecisionIsThatOfTheRunAndMastersAreRoundedToIt) {
  fill(store_);
  config_.train.precision = Precision::kBf16;
  LoadedModel model = load(config_);
  ParameterStore rounded = whole_store(config_, at::kBFloat16);
  rounded.dense_values().copy_(store_.dense_values());
  for (int layer = 0; layer < 2; ++layer) {
    rounded.slice_values(layer).copy_(store_.slice_values(layer));
  }
  EXPECT_TRUE(at::equal(model.parameters().dense_values(), rounded.dense_values()));
  const std::vector<std::int32_t> tokens = {1, 5, 2, 8, 11, 0, 3};
  const double loss =
      sequence_losses(model, std::vector<std::vector<std::int32_t>>{tokens})[0].loss_sum;
  const double expected = WholeModel(config_, rounded).loss_sum(tokens);
  EXPECT_NEAR(loss, expected, 1e-2 * expected);
}

TEST_F(Loaded, ForcedRoutingCountsTokensOverAllSequences) {
  fill(store_);
  config_.model.router.forced = "W3";
  LoadedModel model = load(config_);
  const std::vector<std::vector<std::int32_t>> sequences = {{1, 5, 2, 8}, {1, 5, 2, 8}, {7, 0}};
  const std::vector<SequenceLoss> losses = sequence_losses(model, sequences);
  std::int64_t first_token = 0;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    // Every rank brings the same sequence: nobody takes turns.
    const double expected = model.loss_sum(sequences[i], first_token);
    EXPECT_NEAR(losses[i].loss_sum, expected, 1e-5 * expected);
    first_token += losses[i].tokens;
  }
  EXPECT_NE(losses[0].loss_sum, losses[1].loss_sum);
}

TEST_F(Loaded, TextEndsWithTheDocument) {
  fill(store_);
  LoadedModel model = load(config_);
  GenerationRequest request{.prompt = {3, 1, 4}, .max_tokens = 9, .seed = 2, .vocab_size = 13};
  const Generation whole = generate(model, request);
  request.end_of_document = whole.tokens.empty() ? 0 : whole.tokens[4];
  const Generation ended = generate(model, request);
  if (test_world().rank() != 0) return;
  ASSERT_EQ(whole.tokens.size(), 9U);
  EXPECT_TRUE(ended.ended);
  const auto first = std::ranges::find(whole.tokens, request.end_of_document);
  EXPECT_EQ(ended.tokens, std::vector<std::int32_t>(whole.tokens.begin(), first));
}

TEST_F(Loaded, NothingIsDrawnBeyondTheTokenizer) {
  fill(store_);
  LoadedModel model = load(config_);
  const Generation generated = generate(
      model, {.prompt = {3}, .max_tokens = 40, .sampling = {.temperature = 50}, .vocab_size = 4});
  if (test_world().rank() != 0) return;
  ASSERT_EQ(generated.tokens.size(), 40U);
  EXPECT_EQ(*std::ranges::max_element(generated.tokens), 3);
}

TEST_F(Loaded, NoTokensAskedGiveNone) {
  LoadedModel model = load(config_);
  EXPECT_TRUE(generate(model, {.prompt = {3}, .vocab_size = 13}).tokens.empty());
}

TEST_F(Loaded, RequestsThatMakeNoSenseAreRefusedOnAllRanks) {
  LoadedModel model = load(config_);
  const auto says = [&](const GenerationRequest& request) {
    const auto [code, text] = refusal([&] { generate(model, request); });
    EXPECT_EQ(code, ExitCode::kConfiguration);
    return text;
  };
  EXPECT_THAT(says({.vocab_size = 13}), HasSubstr("prompt is empty"));
  EXPECT_THAT(says({.prompt = {13}, .vocab_size = 13}), HasSubstr("token 13 in the prompt"));
  EXPECT_THAT(says({.prompt = {1}, .vocab_size = 14}), HasSubstr("at most model.vocab_size 13"));
  EXPECT_THAT(says({.prompt = {1}, .max_tokens = kLongestSequence, .vocab_size = 13}),
              HasSubstr("allowed: 65536 together"));
  const auto says_of = [&](const Sampling& sampling) {
    return says({.prompt = {1}, .sampling = sampling, .vocab_size = 13});
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(says_of({.temperature = nan}), HasSubstr("temperature nan"));
  EXPECT_THAT(says_of({.top_k = -1}), HasSubstr("top-k -1, allowed: 0 (all) or more"));
  EXPECT_THAT(says_of({.top_p = nan}), HasSubstr("top-p nan"));
  EXPECT_THAT(says_of({.top_p = 0}), HasSubstr("top-p 0.000000, allowed: above 0"));
  const auto losses = [&](const std::vector<std::vector<std::int32_t>>& sequences) {
    const auto [code, text] = refusal([&] { sequence_losses(model, sequences); });
    EXPECT_EQ(code, ExitCode::kConfiguration);
    return text;
  };
  EXPECT_THAT(losses({{1, 2}, {1}}), HasSubstr("sequence 1: 1 tokens, allowed: 2 to 65536"));
  EXPECT_THAT(losses({{1, 13}}), HasSubstr("sequence 0: token 13, allowed: 0 to 12"));
  EXPECT_THAT(losses({{-1, 3}}), HasSubstr("token -1"));
}

TEST_F(Loaded, WhoeverIsToldOfTokensMayEndTheText) {
  LoadedModel model = load(config_);
  GenerationRequest request{.prompt = {3}, .max_tokens = 5, .vocab_size = 13};
  int told = 0;
  request.on_token = [&](std::int32_t) {
    if (++told == 2) throw StorageError("no room for text");
  };
  const auto [code, text] = refusal([&] { generate(model, request); });
  EXPECT_EQ(code, ExitCode::kStorage);
  EXPECT_EQ(text, "no room for text");
  EXPECT_EQ(told, test_world().rank() == 0 ? 2 : 0);
}

TEST_F(Loaded, LogitsThatAreNotFiniteEndAllRanks) {
  store_.dense("final_norm").value.fill_(std::numeric_limits<float>::quiet_NaN());
  LoadedModel model = load(config_);
  const auto [code, text] =
      refusal([&] { generate(model, {.prompt = {3}, .max_tokens = 1, .vocab_size = 13}); });
  EXPECT_EQ(code, ExitCode::kNonFinite);
  EXPECT_THAT(text, HasSubstr("not finite"));
}

TEST_F(Loaded, CheckpointsThatDoNotHoldTheModelAreRefusedOnAllRanks) {
  const auto says = [&](const std::function<void()>& work) {
    const auto [code, text] = refusal(work);
    EXPECT_EQ(code, ExitCode::kStorage);
    return text;
  };
  EXPECT_THAT(says([&] { LoadedModel(folder_.path(), {}, test_world(), clock_); }),
              HasSubstr(folder_.path().string()));
  RunConfig larger = config_;
  larger.model.vocab_size = 14;
  EXPECT_THAT(says([&] { load(larger); }),
              HasSubstr("tensor embedding is [13, 8], the model needs [14, 8]"));
  RunConfig wider = config_;
  wider.model.experts.widths = {3, 4, 6, 12};
  EXPECT_THAT(says([&] { load(wider); }), HasSubstr("the model needs [12, 8]"));
  RunConfig more = config_;
  more.model.hyper.enabled = true;
  EXPECT_THAT(says([&] { load(more); }), HasSubstr("is missing, the model needs it"));
}

// A loss of damaged weights would look like any other.
TEST_F(Loaded, DamagedWeightsAreRefusedOnAllRanks) {
  load(config_);
  if (test_world().rank() == 0) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_.path())) {
      if (entry.path().extension() != ".safetensors") continue;
      std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(-1, std::ios::end);
      file.put('\x55');
    }
  }
  test_world().barrier();
  const auto [code, text] = refusal([&] { LoadedModel(folder_.path(), {}, test_world(), clock_); });
  EXPECT_EQ(code, ExitCode::kStorage);
  EXPECT_THAT(text, HasSubstr("is damaged"));
}

TEST_F(Loaded, SettingsAreForRanksOnly) {
  load(config_);
  const auto [code, text] =
      refusal([&] { LoadedModel(folder_.path(), {"train.seed=4"}, test_world(), clock_); });
  EXPECT_EQ(code, ExitCode::kConfiguration);
  EXPECT_EQ(text,
            "--set train.seed=4: allowed: keys of parallel and train.precision (all else is as the "
            "checkpoint has it)");
}

}  // namespace
}  // namespace hetmoe::test
