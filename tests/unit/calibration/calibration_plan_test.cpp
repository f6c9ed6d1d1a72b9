#include "runtime/calibration/calibration_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace hetmoe {
namespace {

using testing::ElementsAre;

RunConfig small_config() {
  RunConfig config;
  config.model.hidden_size = 96;
  config.model.num_heads = 3;
  config.model.experts.widths = {72, 200, 648};
  config.model.experts.count = 3;
  config.train.global_batch = 7;
  config.train.sequence_length = 50;
  return config;
}

TEST(CalibrationPlan, AConfigurationIsMeasuredAtItsOwnSizes) {
  const CalibrationPlan plan = calibration_plan_for(small_config(), 2, 10);
  EXPECT_THAT(plan.hidden_sizes, ElementsAre(96));
  EXPECT_THAT(plan.lengths, ElementsAre(50));
  // A granule, the narrowest, sqrt(72 x 648), the widest.
  EXPECT_THAT(plan.widths, ElementsAre(32, 72, 216, 648));
  // Four of seven sequences are the most that one of two ranks gets; 350 tokens is all there are.
  EXPECT_EQ(plan.tokens, 200);
  EXPECT_THAT(plan.rows, ElementsAre(1, 16, 64, 256, 350));
}

TEST(CalibrationPlan, ExpertsOfOneWidthGiveThatWidthOnce) {
  RunConfig config = small_config();
  config.model.experts.widths = {16, 16, 16};
  EXPECT_THAT(calibration_plan_for(config, 1, 10).widths, ElementsAre(16));
}

TEST(CalibrationPlan, MoreRanksThanSequencesStillMeasure) {
  const CalibrationPlan plan = calibration_plan_for(small_config(), 64, 10);
  EXPECT_GE(plan.tokens, 50);
  EXPECT_GE(plan.optimizer_elements, 1);
}

TEST(CalibrationPlan, RowsThatCannotBeTimedAreLeftOutButNeverAll) {
  CalibrationPlan plan = standard_calibration_plan(100);
  const auto all = plan.rows;
  fit_into_time(plan, 1e15);
  EXPECT_EQ(plan.rows, all);
  // 18 x 1792 x 1361 x 2720 = 1.2e11 FLOPs without the largest rows, 4.8e11 with them; a warm-up
  // and a repetition in each of three rounds take 18 and 72 of the 60 seconds at 4e10 FLOP/s, where
  // slices run at 0.6 of the peak.
  fit_into_time(plan, 4e10 / 0.6);
  EXPECT_THAT(plan.rows, ElementsAre(1, 16, 64, 256, 1024));
  fit_into_time(plan, 1);
  EXPECT_THAT(plan.rows, ElementsAre(1, 16));
}

/// FLOPs of everything that takes the plan's tokens, at one hidden size, in all rounds.
double flops_of_tokens(const CalibrationPlan& plan) {
  const double tokens = static_cast<double>(plan.tokens), hidden = 1024, vocabulary = 32000;
  const double products = 2 * hidden * 4 * hidden;
  const double scores = 4 * static_cast<double>(plan.lengths.front()) / 2 * hidden;
  // Four layers alone, three in a decoder, one beside it; the head forward, and forward and
  // backward.
  const double once = 3 * 8 * (products + scores) + 4 * 2 * hidden * vocabulary;
  return 2 * kCalibrationRounds * tokens * once;
}

TEST(CalibrationPlan, TokensThatCannotBeTimedAreLeftOutByWholeSequencesWhereOneFits) {
  RunConfig config;  // 16 sequences of 4096 tokens for one rank, as in hmoe_3b_top_k
  config.model.hidden_size = 1024;
  config.model.num_heads = config.model.num_kv_heads = 16;
  config.model.vocab_size = 32000;
  config.train.global_batch = 640;
  config.train.microbatches = 40;
  config.train.sequence_length = 4096;
  const CalibrationPlan whole = calibration_plan_for(config, 1, 60);
  ASSERT_EQ(whole.tokens, 65536);
  for (const double rate : {1e10, 1e11, 3e12, 1e13, 1e15}) {
    CalibrationPlan plan = whole;
    fit_into_time(plan, rate);
    EXPECT_GE(plan.tokens, plan.few_tokens);
    EXPECT_TRUE(plan.tokens % 4096 == 0 || plan.tokens < 4096) << plan.tokens;
    // A quarter of the minute at 0.6 of the rate, unless it is too slow for anything.
    if (plan.tokens > plan.few_tokens) {
      EXPECT_LE(flops_of_tokens(plan), 15 * 0.6 * rate);
    }
    if (plan.tokens < whole.tokens) {
      EXPECT_GE(flops_of_tokens(plan), (plan.tokens < 4096 ? 0.99 : 0.49) * 15 * 0.6 * rate);
    }
  }
  CalibrationPlan fast = whole;
  fit_into_time(fast, 1e15);
  EXPECT_EQ(fast.tokens, whole.tokens);
}

TEST(CalibrationPlan, ThePartsOfTheTimeDoNotExceedIt) {
  const CalibrationPlan plan = standard_calibration_plan(100);
  const CalibrationSeconds seconds = divide_seconds(plan);
  const double all = seconds.peak + seconds.expert_point * 3 * 6 * 4 + seconds.dense_point * 3 +
                     seconds.attention_point * 5 + seconds.head_point * 3 + seconds.memory * 2 +
                     seconds.layer_point * 4 + seconds.link_point * 6;
  EXPECT_LE(kCalibrationRounds * all, 100);
  EXPECT_GE(kCalibrationRounds * all, 80);
}

}  // namespace
}  // namespace hetmoe
