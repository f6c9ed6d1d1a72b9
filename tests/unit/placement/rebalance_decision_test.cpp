#include "parallel/placement/rebalance_decision.h"

#include <gtest/gtest.h>

#include "parallel/placement/cost.h"

namespace hetmoe {
namespace {

/// Products at one rate whatever their size, and links that cost nothing.
Cluster flat_cluster(double flops_per_second) {
  Cluster cluster;
  cluster.expert_products = {.hidden_sizes = {1},
                             .rows = {1},
                             .widths = {1},
                             .forward_seconds = {6 / flops_per_second},
                             .backward_seconds = {6 / flops_per_second}};
  cluster.same_node = cluster.other_node = {.latency_seconds = 0, .bytes_per_second = 1e30};
  cluster.ranks_per_node = 2;
  return cluster;
}

/// Four equal experts of 100 rows on two ranks, two and two; a token unit costs a microsecond, and
/// a megabyte a second moves, all of it for being sent.
RebalanceQuestion question_of(std::vector<std::int64_t> now, std::vector<std::int64_t> earlier) {
  RebalanceQuestion question;
  question.problem = {.hidden_size = 10, .ranks = 2, .memory_cap_ratio = 2, .granularity = 10};
  question.problem.layers = {{.widths = {100, 100, 100, 100}, .tokens = std::move(now)}};
  question.problem.current =
      Placement{{{{{0, 0, 0, 100}, {1, 0, 0, 100}, {2, 1, 0, 100}, {3, 1, 0, 100}}}}};
  question.earlier_tokens = {std::move(earlier)};
  question.seconds_per_token_unit = 1e-6;
  question.steps_until_next_look = 1000;
  question.move = {.copied_bytes_per_second = 1e30, .sent_bytes_per_second = 1e6};
  return question;
}

TEST(RebalanceDecision, PricesGainAndMoveAsByHand) {
  // Rank 0 has 60 of 80 tokens, half would be 40: 20 tokens * 100 units * 1 us = 2 ms per step.
  const RebalanceAnswer answer = decide_rebalance(question_of({30, 30, 10, 10}, {30, 30, 10, 10}));
  EXPECT_TRUE(answer.moves);
  EXPECT_NEAR(answer.gain_seconds, 2e-3, 1e-9);
  EXPECT_NEAR(answer.flops_max_over_mean_before, 1.5, 1e-12);
  EXPECT_NEAR(answer.flops_max_over_mean_after, 1.0, 1e-12);
  // Two experts change places: 200 rows of 10 values, three matrices, master and two moments.
  EXPECT_EQ(answer.moving_bytes, 200 * 10 * 3 * 3 * 4);
  EXPECT_NEAR(answer.moving_seconds, 100 * 10 * 3 * 3 * 4 / 1e6, 1e-12);
}

TEST(RebalanceDecision, MovesNothingWhereAllIsWell) {
  const RebalanceAnswer answer = decide_rebalance(question_of({20, 20, 20, 20}, {30, 30, 10, 10}));
  EXPECT_FALSE(answer.moves);
  EXPECT_EQ(answer.moving_bytes, 0);
}

TEST(RebalanceDecision, WeighsTheGainAgainstTheMoveUntilTheNextLook) {
  RebalanceQuestion question = question_of({30, 30, 10, 10}, {30, 30, 10, 10});
  // Moving takes 36 ms and a step gains 2 ms.
  question.steps_until_next_look = 17;
  EXPECT_FALSE(decide_rebalance(question).moves);
  question.steps_until_next_look = 19;
  EXPECT_TRUE(decide_rebalance(question).moves);
}

TEST(RebalanceDecision, DoesNotFollowAHotSpotThatOnlyOneWindowSaw) {
  // Experts 0 and 1 are hot now, 2 and 3 were before: what helps now would have hurt then.
  const RebalanceAnswer passing = decide_rebalance(question_of({39, 39, 1, 1}, {20, 20, 20, 20}));
  EXPECT_FALSE(passing.moves);
  EXPECT_LE(passing.gain_seconds, 0);
  EXPECT_TRUE(decide_rebalance(question_of({39, 39, 1, 1}, {36, 38, 4, 2})).moves);
}

TEST(RebalanceDecision, AHotSpotThatRotatesEveryWindowNeverMakesSlicesFlap) {
  std::vector<std::int64_t> earlier = {50, 10, 10, 10};
  RebalanceQuestion question = question_of(earlier, earlier);
  int moves = 0;
  for (int window = 1; window <= 40; ++window) {
    std::vector<std::int64_t> now = {10, 10, 10, 10};
    now[static_cast<std::size_t>(window % 4)] = 50;
    question.problem.layers[0].tokens = now;
    question.earlier_tokens = {earlier};
    const RebalanceAnswer answer = decide_rebalance(question);
    if (answer.moves) {
      question.problem.current = answer.plan.placement;
      ++moves;
    }
    earlier = now;
  }
  // At most a few until a placement is found that serves two neighbours of the rotation.
  EXPECT_LE(moves, 3);
}

TEST(RebalanceDecision, CopiesOfWhatStaysAndWhatWasLearnedArePartOfThePrice) {
  RebalanceQuestion question = question_of({30, 30, 10, 10}, {30, 30, 10, 10});
  // 200 rows of 360 bytes on a rank are copied, 100 are sent.
  question.move = {.copied_bytes_per_second = 4e6, .sent_bytes_per_second = 1e6, .factor = 3};
  EXPECT_NEAR(decide_rebalance(question).moving_seconds, 3 * (200 * 360 / 4e6 + 100 * 360 / 1e6),
              1e-12);
}

TEST(RebalanceDecision, NeverLeavesTheMemoryCap) {
  // By count each rank gets two experts; the wide ones together are over the cap.
  RebalanceQuestion question = question_of({30, 25, 20, 1}, {30, 25, 20, 1});
  question.strategy = PlanStrategy::kEqualCount;
  question.problem.layers[0].widths = {300, 100, 100, 300};
  question.problem.current =
      Placement{{{{{0, 0, 0, 300}, {1, 0, 0, 100}, {2, 1, 0, 100}, {3, 1, 0, 300}}}}};
  question.problem.memory_cap_ratio = 1.1;
  const RebalanceAnswer answer = decide_rebalance(question);
  ASSERT_GT(answer.plan.memory_max_over_mean, 1.1);
  EXPECT_GT(answer.gain_seconds * 1000, answer.moving_seconds);
  EXPECT_FALSE(answer.moves);
}

TEST(RebalanceDecision, TakesPredictedSecondsWhereTheClusterIsKnown) {
  RebalanceQuestion question = question_of({30, 30, 10, 10}, {30, 30, 10, 10});
  question.problem.cluster = flat_cluster(1e6);
  // 6 * 10 * 100 FLOPs a token and expert forward, as many backward: 60 tokens less 40 at 1
  // MFLOP/s.
  EXPECT_NEAR(decide_rebalance(question).gain_seconds, 20 * 2 * 6 * 10 * 100 / 1e6, 1e-6);
}

TEST(RebalanceDecision, AllZeroLoadsMoveNothing) {
  EXPECT_FALSE(decide_rebalance(question_of({0, 0, 0, 0}, {0, 0, 0, 0})).moves);
}

}  // namespace
}  // namespace hetmoe
