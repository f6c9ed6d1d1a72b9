// Against arithmetic by hand, on the round numbers of tests/support/small_cluster.h.
#include "parallel/simulation/simulation.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "tests/support/simulated_worlds.h"
#include "tests/support/small_cluster.h"

namespace hetmoe {
namespace {

constexpr double kMicro = 1e-6;

TEST(Simulation, OneRankByHand) {
  SimulatedWorld world = small_world({3});  // 12 tokens
  world.microbatches = 2;
  const Placement placement{{{{{0, 0, 0, 8}, {1, 0, 0, 24}}}}};
  const Simulation one = simulate(small_cluster(), world, quarter_to_the_first(), placement);

  // Projections: 12 * 2 * 64 * (64 + 64 + 32 + 32) = 294,912 FLOPs at 1 and 2 GFLOP/s. Scores: 12 *
  // 4 * 2.5 * 64 = 7,680, head: 12 * 2 * 64 * 10 = 15,360, both at 1 GFLOP/s. Embedding: 12 * 64 *
  // 20 bytes at 10 GB/s. A layer with its router: 1 us and 12 * 64 * 1e-12 s.
  const double dense = 2 * 294.912 + 3 * 7.68 + 3 * 15.36 + 1.536 + 1.000768;
  EXPECT_NEAR(one.parts.dense, 2 * dense * kMicro, 1e-12);
  // 3 rows of 8 and 9 of 24 hidden units at 64 ns, backward twice that.
  EXPECT_NEAR(one.parts.expert, 2 * 3 * 15.36 * kMicro, 1e-12);
  EXPECT_EQ(one.parts.dispatch + one.parts.combine + one.parts.gradients + one.parts.parameters, 0);
  // 20,032 parameters: 28 bytes each at 5 GB/s, and 8 at 10 GB/s.
  EXPECT_NEAR(one.parts.optimizer, (112.1792 + 16.0256) * kMicro, 1e-12);
  EXPECT_NEAR(one.ranks[0].waiting, 0, 1e-12);
  EXPECT_NEAR(one.even_seconds, one.step_seconds(), 1e-12);
  EXPECT_EQ(one.tokens, 24);
  // Per token: 24,832 + 640 + 1,280 dense FLOPs and 6 * 64 * (0.25 * 8 + 0.75 * 24) of experts.
  EXPECT_NEAR(one.model_flops, 3 * 24 * (24832 + 640 + 1280 + 7680), 1e-3);
  EXPECT_NEAR(one.model_flops_utilization(small_cluster()),
              one.model_flops / one.step_seconds() / 1e10, 1e-12);
}

TEST(Simulation, TheExchangesOfTwoRanksByHand) {
  const SimulatedWorld world = small_world({2, 1});  // 8 and 4 tokens, on one node
  const Placement placement{{{{{0, 0, 0, 8}, {1, 1, 0, 24}}}}};
  const Simulation two = simulate(small_cluster(), world, quarter_to_the_first(), placement);

  // 6 rows of 256 bytes go from rank 0 to 1, one row back; 1 us per call and 1 GB/s. A dispatch is
  // three calls: counts (16 bytes), selections (16 bytes each), rows; then rows are gathered, 8 or
  // 4 of 512 bytes at 10 GB/s. Both ranks carry the six rows, one out, one in.
  const double rows = 6 * 256e-3, gather = 8 * 512e-4;
  const double dispatch = 3 + 0.016 + rows + 6 * 16e-3 + gather + (1 + rows + gather);
  EXPECT_NEAR(two.parts.dispatch, dispatch * kMicro, 1e-12);
  // Back: rows, added up at 12 bytes a value of a row and 12 of a token; gate gradients of 8 bytes.
  const double sum = (8 * 12 + 8 * 12) * 64e-4;
  const double combine = (1 + rows + sum) + (2 + rows + 6 * 8e-3 + sum);
  EXPECT_NEAR(two.parts.combine, combine * kMicro, 1e-12);
  EXPECT_NEAR(two.ranks[1].busy.dispatch, (dispatch - gather) * kMicro, 1e-12);

  // Rank 0: 3 rows of 8, rank 1: 9 rows of 24 hidden units. The slower one counts.
  EXPECT_NEAR(two.parts.expert, 3 * 64e-9 * 9 * 24, 1e-12);
  EXPECT_NEAR(two.ranks[0].busy.expert, 3 * 64e-9 * 3 * 8, 1e-12);
  for (const SimulatedRank& rank : two.ranks)
    EXPECT_NEAR(rank.busy.sum() + rank.waiting, two.step_seconds(), 1e-12);
}

TEST(Simulation, TheUpdateOfTwoRanksByHand) {
  SimulatedWorld world = small_world({1, 1});
  // Slices own 1,536 and 4,608 parameters; 13,888 dense ones level that out, cut between rows:
  // 20,032 / 2 - 1,536 = 8,480 is in the middle of a row of "value", which begins at 6,848 = 107 *
  // 64: the cut is 26 rows later, at 8,512.
  const Placement placement{{{{{0, 0, 0, 8}, {1, 1, 0, 24}}}}};
  const Simulation two = simulate(small_cluster(), world, quarter_to_the_first(), placement);
  const double owned_0 = 8512, owned_1 = 13888 - 8512;
  // Each sends what the other owns and gets its own: the busier way has 8,512 of 4 bytes at 1 GB/s.
  // What arrived is read once more at 10 GB/s.
  EXPECT_NEAR(two.ranks[0].busy.gradients, 1e-6 + owned_0 * 4e-9 + owned_0 * 4e-10, 1e-12);
  EXPECT_NEAR(two.ranks[1].busy.gradients, 1e-6 + owned_0 * 4e-9 + owned_1 * 4e-10, 1e-12);
  EXPECT_NEAR(two.parts.parameters, 1e-6 + owned_0 * 4e-9, 1e-12);
  world.is_bf16 = true;  // copies of 2 bytes, written by the update too
  // Rank 1 owns 9,984 and holds more slices: it takes longest.
  const Simulation bf16 = simulate(small_cluster(), world, quarter_to_the_first(), placement);
  EXPECT_NEAR(bf16.parts.parameters, 1e-6 + owned_0 * 2e-9, 1e-12);
  EXPECT_NEAR(bf16.parts.optimizer, 9984 * 30 / 5e9 + (9984 + 13888 + 4608) * 4 / 1e10, 1e-12);
}

TEST(Simulation, MemoryByHand) {
  SimulatedWorld world = small_world({2, 1});
  world.is_bf16 = true;
  const Placement placement{{{{{0, 0, 0, 8}, {1, 1, 0, 24}}}}};
  const Simulation two = simulate(small_cluster(), world, quarter_to_the_first(), placement);
  const SimulatedMemory& memory = two.ranks[0].memory;
  EXPECT_DOUBLE_EQ(memory.weights, 2 * (13888 + 1536));
  EXPECT_DOUBLE_EQ(memory.gradients, 4 * (13888 + 1536 + 8512));
  EXPECT_DOUBLE_EQ(memory.optimizer_state, 12 * 10048);
  // 8 tokens: 4 * 64 + 2 * 64 + 2 * 32 values a layer, 6 fp32; at the end 3 * 64 values and
  // one fp32.
  EXPECT_DOUBLE_EQ(memory.activations, 8 * (448 * 2 + 6 * 4 + 192 * 2 + 4));
  // 3 of the 12 tokens' rows, and gate and up of 8 hidden units for each.
  EXPECT_DOUBLE_EQ(memory.received, 3 * (64 + 16) * 2);
  EXPECT_DOUBLE_EQ(memory.sum(), memory.weights + memory.gradients + memory.optimizer_state +
                                     memory.activations + memory.received);
}

TEST(Simulation, WhatIsComputedAgainIsHeldForOneLayerAndTakesItsTime) {
  SimulatedWorld world = small_world({2, 1});
  world.is_bf16 = true;
  world.model.num_layers = 3;
  const Placement placement{std::vector<LayerPlacement>(3, {{{0, 0, 0, 8}, {1, 1, 0, 24}}})};
  const std::vector<std::vector<RoutedTokens>> routed = {
      std::vector<RoutedTokens>(3, quarter_to_the_first()[0][0])};
  const auto simulated = [&](Recompute recompute) {
    world.recompute = recompute;
    return simulate(small_cluster(), world, routed, placement);
  };
  const Simulation none = simulated(Recompute::kNone);
  const Simulation experts = simulated(Recompute::kExperts);
  const Simulation block = simulated(Recompute::kBlock);
  // 3 rows of 64 values, and gate and up of 8 hidden units for each, of three layers or of one.
  EXPECT_DOUBLE_EQ(none.ranks[0].memory.received, 3 * 3 * (64 + 16) * 2);
  EXPECT_DOUBLE_EQ(experts.ranks[0].memory.received, 3 * (3 * 64 + 16) * 2);
  EXPECT_DOUBLE_EQ(block.ranks[0].memory.received, 3 * (3 * 64 + 16) * 2);
  // 8 tokens: a layer's input and two probabilities of three layers, all of one layer, the end.
  EXPECT_DOUBLE_EQ(experts.ranks[0].memory.activations, none.ranks[0].memory.activations);
  EXPECT_DOUBLE_EQ(block.ranks[0].memory.activations,
                   8 * (2 * (64 * 2 + 2 * 4) + 448 * 2 + 6 * 4 + 192 * 2 + 4));
  // Forward takes a third of an expert's time; two of its three products come twice.
  EXPECT_NEAR(experts.parts.expert, none.parts.expert * (1 + 2.0 / 9), 1e-12);
  EXPECT_DOUBLE_EQ(block.parts.expert, experts.parts.expert);
  EXPECT_DOUBLE_EQ(experts.parts.dense, none.parts.dense);
  EXPECT_GT(block.parts.dense, none.parts.dense);
  EXPECT_DOUBLE_EQ(block.parts.dispatch, none.parts.dispatch);
  EXPECT_DOUBLE_EQ(block.model_flops, none.model_flops);
}

TEST(Simulation, GroupsReduceTheirExpertsOverEachOther) {
  SimulatedWorld world = small_world({1, 1, 1, 1});
  world.expert_group_size = 2;
  const Placement placement{{{{{0, 0, 0, 8}, {1, 1, 0, 24}}}}};
  const Simulation four = simulate(small_cluster(), world, quarter_to_the_first(), placement);
  // Dense: 26,032 / 4 - 768 and - 2,304 owned, three peers of which one is on the node; slices:
  // one peer, on the other node, owns the other half. 1 us and 10 us a peer, 1 and 0.1 GB/s.
  const double dense_bytes = 4 * (13888.0 + 2 * 3072) / 4;  // owned by all ranks together, evenly
  const double dense_0 = dense_bytes - 4 * 768;
  EXPECT_GT(four.ranks[0].busy.gradients, 21e-6 + 2 * dense_0 / 1e8);
  const double slices_1 = 10e-6 + 2304 * 4 / 1e8;
  EXPECT_GT(four.ranks[1].busy.gradients, 21e-6 + slices_1);
  // Every group works on its own half of the tokens, exchanged on its own node.
  const Simulation two =
      simulate(small_cluster(), small_world({1, 1}), quarter_to_the_first(), placement);
  EXPECT_DOUBLE_EQ(four.parts.expert, two.parts.expert);
  EXPECT_DOUBLE_EQ(four.parts.dispatch, two.parts.dispatch);
  EXPECT_DOUBLE_EQ(four.ranks[2].busy.expert, two.ranks[0].busy.expert);
  EXPECT_DOUBLE_EQ(four.model_flops, 2 * two.model_flops);
}

TEST(Simulation, AnotherNodeIsReachedOverItsOwnLinks) {
  SimulatedWorld near = small_world({1, 1}), far = near;
  far.ranks_per_node = 1;
  const Placement placement{{{{{0, 0, 0, 8}, {1, 1, 0, 24}}}}};
  const double rows = 3 * 256;  // the most of one direction
  const auto combine = [&](const SimulatedWorld& world) {
    return simulate(small_cluster(), world, quarter_to_the_first(), placement).parts.combine;
  };
  // Three calls at 10 us instead of 1, and twice the rows and the gate gradients at 0.1 GB/s.
  EXPECT_NEAR(combine(far) - combine(near), 3 * 9e-6 + (2 * rows + 3 * 8) * (1e-8 - 1e-9), 1e-12);

  // Nodes of three ranks: the second group of two has one on each of two nodes.
  SimulatedWorld both = small_world({1, 1, 1, 1});
  both.expert_group_size = 2;
  both.ranks_per_node = 3;
  const Simulation four = simulate(small_cluster(), both, quarter_to_the_first(), placement);
  EXPECT_DOUBLE_EQ(four.parts.combine, combine(far));
  EXPECT_DOUBLE_EQ(std::max(four.ranks[0].busy.combine, four.ranks[1].busy.combine), combine(near));
}

TEST(Simulation, InTwoHopsACutExpertsRowsCrossOnce) {
  SimulatedWorld world = small_world({1, 1, 1, 1});
  world.expert_group_size = 4;
  // Expert 1 over both ranks of each node of two.
  const Placement placement{
      {{{{0, 0, 0, 8}, {1, 0, 0, 6}, {1, 1, 6, 12}, {1, 2, 12, 18}, {1, 3, 18, 24}}}}};
  Cluster cluster = small_cluster();
  cluster.same_node = {0, 1e30};
  cluster.other_node.latency_seconds = 0;
  const auto combine = [&](bool two_hops) {
    world.two_hops = two_hops;
    const double slow = simulate(cluster, world, quarter_to_the_first(), placement).parts.combine;
    Cluster fast = cluster;
    fast.other_node.bytes_per_second = 1e30;
    return slow - simulate(fast, world, quarter_to_the_first(), placement).parts.combine;
  };
  // Rows back twice and gate gradients once: three quarters of the tokens for each rank, or node.
  EXPECT_GT(combine(false), 0);
  EXPECT_LT(combine(true), 0.7 * combine(false));
  EXPECT_GT(combine(true), 0.45 * combine(false));
}

}  // namespace
}  // namespace hetmoe
