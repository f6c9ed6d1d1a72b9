#include "parallel/placement/rebalance_decision.h"

#include <gtest/gtest.h>

#include "parallel/placement/cost.h"

namespace hetmoe {
namespace {

/// Four equal experts of 100 rows on two ranks, two and two; a token unit costs a microsecond, and
/// a megabyte a second moves.
RebalanceQuestion question_of(std::vector<std::int64_t> now, std::vector<std::int64_t> earlier) {
  RebalanceQuestion question;
  question.problem = {.hidden_size = 10, .ranks = 2, .memory_cap_ratio = 2, .granularity = 10};
  question.problem.layers = {{.widths = {100, 100, 100, 100}, .tokens = std::move(now)}};
  question.problem.current =
      Placement{{{{{0, 0, 0, 100}, {1, 0, 0, 100}, {2, 1, 0, 100}, {3, 1, 0, 100}}}}};
  question.earlier_tokens = {std::move(earlier)};
  question.seconds_per_token_unit = 1e-6;
  question.steps_until_next_look = 1000;
  question.moving_bytes_per_second = 1e6;
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

TEST(RebalanceDecision, AllZeroLoadsMoveNothing) {
  EXPECT_FALSE(decide_rebalance(question_of({0, 0, 0, 0}, {0, 0, 0, 0})).moves);
}

}  // namespace
}  // namespace hetmoe
