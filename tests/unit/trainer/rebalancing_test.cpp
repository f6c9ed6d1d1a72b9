#include "runtime/trainer/rebalancing.h"

#include <gtest/gtest.h>

#include "parallel/communicator/local_communicator.h"
#include "runtime/trainer/initial_plan.h"

namespace hetmoe {
namespace {

constexpr double kStepSeconds = 0.5;

RunConfig four_equal_experts() {
  RunConfig config;
  config.model.hidden_size = 8;
  config.model.num_layers = 1;
  config.model.experts.count = 4;
  config.model.experts.widths = {64, 64, 64, 64};
  config.train.precision = Precision::kFp32;
  config.train.steps = 100;
  config.placement.every = 4;
  config.placement.granularity = 8;
  return config;
}

Placement two_and_two() {
  return {{{{{0, 0, 0, 64}, {1, 0, 0, 64}, {2, 1, 0, 64}, {3, 1, 0, 64}}}}};
}

/// Experts 0 and 1, both on rank 0, take `hot` tokens each, the others ten.
void add_steps(Rebalancing& rebalancing, int count, std::int64_t hot, double step_seconds) {
  StepOutcome outcome;
  outcome.load = {{hot, hot, 10, 10}};
  MeasuredStep measured;
  measured.step_seconds = step_seconds;
  measured.phases.expert = 0.8 * step_seconds;
  for (int step = 0; step < count; ++step) rebalancing.add_step(outcome, measured);
}

TEST(Rebalancing, LooksEveryFewStepsButNotWhereNothingCanMove) {
  SystemClock clock;
  run_ranks(2, [&](Communicator& control) {
    RunConfig config = four_equal_experts();
    const Rebalancing rebalancing(config, uniform_problem(config, {2, 1}), control, clock);
    EXPECT_FALSE(rebalancing.is_due(3));
    EXPECT_TRUE(rebalancing.is_due(4));
    EXPECT_FALSE(rebalancing.is_due(100)) << "the last step";
    config.placement.every = 0;
    EXPECT_FALSE(rebalancing.is_due(4));
    config.placement.every = 4;
    config.placement.strategy = "plan.json";
    EXPECT_FALSE(rebalancing.is_due(4));
  });
  run_ranks(1, [&](Communicator& control) {
    const RunConfig config = four_equal_experts();
    EXPECT_FALSE(Rebalancing(config, uniform_problem(config, {1, 1}), control, clock).is_due(4));
  });
}

TEST(Rebalancing, MovesForALoadThatLastsAndMeasuresTheGain) {
  SystemClock clock;
  run_ranks(2, [&](Communicator& control) {
    const RunConfig config = four_equal_experts();
    Rebalancing rebalancing(config, uniform_problem(config, {2, 1}), control, clock);
    add_steps(rebalancing, 4, 50, kStepSeconds);
    const std::optional<Plan> plan = rebalancing.look(4, two_and_two());
    ASSERT_TRUE(plan.has_value());
    EXPECT_LE(plan->layers[0].flops_max_over_mean, 1.02);
    const RebalanceRecord record = rebalancing.moved(control.rank() == 0 ? 0.25 : 0.5);
    EXPECT_EQ(record.moving_seconds, 0.5) << "the slowest rank's";
    EXPECT_FALSE(rebalancing.take_gain()) << "nothing has been measured yet";
    add_steps(rebalancing, 3, 50, kStepSeconds / 2);
    const std::optional<RebalanceGain> gain = rebalancing.take_gain();
    ASSERT_TRUE(gain.has_value());
    EXPECT_EQ(gain->moved_after_step, 4);
    EXPECT_EQ(gain->measured_steps, 3);
    EXPECT_DOUBLE_EQ(gain->measured_gain_seconds, kStepSeconds / 2);
    if (control.rank() == 0) {
      // 100 of 120 tokens on rank 0 become 60: 40 of 60 parts of what the mean rank computes.
      EXPECT_NEAR(gain->predicted_gain_seconds, 0.8 * kStepSeconds * 40 / 60, 1e-3);
      EXPECT_GT(record.moving_bytes, 0);
    }
    EXPECT_FALSE(rebalancing.take_gain()) << "once per move";
  });
}

TEST(Rebalancing, TheFirstWindowMustAgreeWithItsFirstHalf) {
  SystemClock clock;
  run_ranks(2, [&](Communicator& control) {
    const RunConfig config = four_equal_experts();
    Rebalancing rebalancing(config, uniform_problem(config, {2, 1}), control, clock);
    add_steps(rebalancing, 2, 10, kStepSeconds);
    add_steps(rebalancing, 2, 1000, kStepSeconds);
    EXPECT_FALSE(rebalancing.look(4, two_and_two()).has_value());
    add_steps(rebalancing, 4, 1000, kStepSeconds);
    EXPECT_TRUE(rebalancing.look(8, two_and_two()).has_value()) << "both windows want it now";
  });
}

TEST(Rebalancing, WhatAMoveTookIsLearnedWithinBounds) {
  SystemClock clock;
  run_ranks(2, [&](Communicator& control) {
    const RunConfig config = four_equal_experts();
    Rebalancing rebalancing(config, uniform_problem(config, {2, 1}), control, clock);
    add_steps(rebalancing, 4, 50, kStepSeconds);
    ASSERT_TRUE(rebalancing.look(4, two_and_two()).has_value());
    const double first = rebalancing.moved(1e6).predicted_moving_seconds;
    add_steps(rebalancing, 4, 50, kStepSeconds);
    ASSERT_TRUE(rebalancing.look(8, two_and_two()).has_value());
    if (control.rank() == 0) {
      EXPECT_NEAR(rebalancing.moved(1).predicted_moving_seconds / first, 16, 1e-9);
    } else {
      rebalancing.moved(1);
    }
  });
}

}  // namespace
}  // namespace hetmoe
