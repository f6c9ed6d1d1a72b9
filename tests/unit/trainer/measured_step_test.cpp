#include "runtime/trainer/measured_step.h"

#include <gtest/gtest.h>

#include "parallel/communicator/local_communicator.h"

namespace hetmoe {
namespace {

Placement two_layers_on_two_ranks() {
  Placement placement;
  placement.layers.resize(2);
  placement.layers[0].slices = {{0, 0, 0, 3}, {1, 1, 0, 5}};
  placement.layers[1].slices = {{0, 0, 0, 1}, {0, 1, 1, 3}, {1, 0, 0, 5}};
  return placement;
}

TEST(FlopsMaxOverMean, ComparesTheBusiestRankOfEachLayerWithTheMean) {
  // Layer 0: 10 tokens x 3 units and 0 x 5: ranks do 30 and 0, the mean is 15.
  // Layer 1: 5 x 1 + 5 x 5 = 30 and 5 x 2 = 10, the mean is 20.
  EXPECT_DOUBLE_EQ(flops_max_over_mean({{10, 0}, {5, 5}}, two_layers_on_two_ranks(), 2),
                   (30.0 + 30.0) / (15.0 + 20.0));
}

TEST(FlopsMaxOverMean, EvenWorkIsOneAndARankWithoutExpertsCounts) {
  EXPECT_DOUBLE_EQ(flops_max_over_mean({{5, 3}}, two_layers_on_two_ranks(), 2), 1.0);
  EXPECT_DOUBLE_EQ(flops_max_over_mean({{5, 3}}, two_layers_on_two_ranks(), 4), 2.0);
}

TEST(FlopsMaxOverMean, IsOneWhenNothingWasRouted) {
  EXPECT_EQ(flops_max_over_mean({{0, 0}, {0, 0}}, two_layers_on_two_ranks(), 2), 1.0);
}

TEST(FlopsMaxOverMean, SharesOfReplicasDivideTheTokens) {
  Placement placement;
  placement.layers.resize(1);
  placement.layers[0].slices = {{0, 0, 0, 4, 0.75}, {0, 1, 0, 4, 0.25}};
  EXPECT_DOUBLE_EQ(flops_max_over_mean({{8}}, placement, 2), 24.0 / 16.0);
}

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
    const MeasuredStep measured =
        measure_step(world, phases, 10 * own, {1000 + world.rank(), 200 * world.rank(), 30});
    EXPECT_EQ(measured.step_seconds, 30);
    EXPECT_EQ(measured.bytes.all_to_all, 3003);
    EXPECT_EQ(measured.bytes.gradients, 600);
    EXPECT_EQ(measured.bytes.parameters, 90);
    EXPECT_DOUBLE_EQ(measured.phases.data, 1.0);
    EXPECT_DOUBLE_EQ(measured.phases.expert, 2.0);
    EXPECT_DOUBLE_EQ(measured.phases.parameters, 1.0);
    EXPECT_DOUBLE_EQ(measured.phases.other, 26.0);
  });
}

}  // namespace
}  // namespace hetmoe
