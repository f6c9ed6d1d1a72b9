#include "runtime/trainer/measured_step.h"

#include <gtest/gtest.h>

#include "parallel/communicator/local_communicator.h"

namespace hetmoe {
namespace {

TEST(ModelFlops, MatchesACountByHand) {
  RunConfig config;
  config.model.vocab_size = 10;
  config.model.hidden_size = 4;
  config.model.num_layers = 1;
  config.model.num_heads = 2;
  config.model.num_kv_heads = 1;
  config.model.head_dim = 2;
  config.model.experts.count = 2;
  config.model.experts.widths = {3, 5};
  config.train.global_batch = 2;
  config.train.sequence_length = 3;
  // Multiply-adds of a token: query 4x4, key 4x2, value 4x2, output 4x4; with 2 of 3 positions seen
  // on average, 2 x 4 for the scores and 2 x 4 for their sum; router 4x2; head 4x10.
  const double dense = 16 + 8 + 8 + 16 + 8 + 8 + 8 + 40;
  // Three matrices of 4 x width; 4 tokens met the first expert, 8 the second.
  const double experts = 4 * (3 * 4 * 3) + 8 * (3 * 4 * 5);
  // Two FLOPs each, once forward and twice backward, six tokens.
  EXPECT_DOUBLE_EQ(model_flops(config, {{4, 8}}), 3 * 2 * (6 * dense + experts));
}

TEST(MeasureStep, TakesTheSlowestRanksTimeAndMeanPhasesThatSumToIt) {
  run_ranks(3, [](Communicator& world) {
    const double own = world.rank() + 1;
    PhaseSeconds phases;
    phases.data = 0.5 * own;
    phases.expert = own;
    phases.parameters = world.rank() == 2 ? 3.0 : 0.0;
    const MeasuredStep measured = measure_step(
        world, {.phases = phases,
                .step_seconds = 10 * own,
                .bytes = {1000 + world.rank(), 500, 200 * world.rank(), 30, 20, 11},
                .wishes = {},
                .expert_flops = 7 * own,
                .memory = {.host_bytes = 100 - world.rank(), .device_bytes = 7 + world.rank()}});
    EXPECT_FALSE(measured.wishes.stop);
    EXPECT_EQ(measured.step_seconds, 30);
    EXPECT_EQ(measured.bytes.dispatch, 3003);
    EXPECT_EQ(measured.bytes.combine, 1500);
    EXPECT_EQ(measured.rank_expert_flops, (std::vector<double>{7, 14, 21}));
    EXPECT_EQ(measured.memory.host_bytes, 100);
    EXPECT_EQ(measured.memory.device_bytes, 6 + world.size());
    EXPECT_EQ(measured.bytes.gradients, 600);
    EXPECT_EQ(measured.bytes.parameters, 90);
    EXPECT_EQ(measured.bytes.parameters_hidden, 60);
    EXPECT_EQ(measured.bytes.other_node, 33);
    EXPECT_DOUBLE_EQ(measured.phases.data, 1.0);
    EXPECT_DOUBLE_EQ(measured.phases.expert, 2.0);
    EXPECT_DOUBLE_EQ(measured.phases.parameters, 1.0);
    EXPECT_DOUBLE_EQ(measured.phases.other, 26.0);
  });
}

TEST(MeasureStep, WhatOneRankWasAskedForAllDo) {
  run_ranks(3, [](Communicator& world) {
    const StepWishes own{.rebalance = world.rank() == 0, .stop = world.rank() == 1};
    const StepWishes agreed = measure_step(world, {.step_seconds = 1, .wishes = own}).wishes;
    EXPECT_TRUE(agreed.stop);
    EXPECT_TRUE(agreed.rebalance);
    EXPECT_FALSE(agreed.save);
    EXPECT_FALSE(agreed.stop_for_good);
    EXPECT_FALSE(agreed.leave);
  });
}

}  // namespace
}  // namespace hetmoe
