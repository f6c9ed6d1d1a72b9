#include "parallel/placement/step_cost.h"

#include <gtest/gtest.h>

#include <numeric>

#include "parallel/placement/cost.h"
#include "parallel/placement/two_hop_cost.h"
#include "tests/support/small_cluster.h"

namespace hetmoe {
namespace {

/// One layer of 100 tokens for 4 hidden units and 50 for 6; a slice takes 3 ns per row, width and
/// hidden feature, forward and backward.
PlanProblem two_experts(int ranks) {
  PlanProblem problem;
  problem.hidden_size = 10;
  problem.ranks = ranks;
  problem.layers = {{{4, 6}, {100, 50}}};
  problem.cluster = small_cluster();
  return problem;
}

TEST(StepCost, TwoRanksOfOneNodeByHand) {
  const LayerStepCost cost = price_layer(two_experts(2), 0, {{{0, 0, 0, 4}, {1, 1, 0, 6}}});
  EXPECT_NEAR(cost.ranks[0].compute_seconds, 3e-9 * 10 * 100 * 4, 1e-15);
  EXPECT_NEAR(cost.ranks[1].compute_seconds, 3e-9 * 10 * 50 * 6, 1e-15);
  EXPECT_EQ(cost.compute_rank, 0);
  EXPECT_NEAR(cost.compute_seconds, 1.2e-5, 1e-15);
  // Half of the 100 rows of rank 0 come from rank 1, which keeps half of its own 50.
  EXPECT_DOUBLE_EQ(cost.ranks[0].rows.in, 50);
  EXPECT_DOUBLE_EQ(cost.ranks[0].rows.out, 25);
  EXPECT_DOUBLE_EQ(cost.ranks[1].rows.in, 25);
  EXPECT_DOUBLE_EQ(cost.ranks[1].rows.out, 50);
  // Rows of 20 bytes four times, 16 bytes with one and 8 with another; 50 of them are the busier
  // direction of either rank. Seven calls to one peer.
  EXPECT_NEAR(cost.exchange_seconds, 50 * (4 * 20 + 16 + 8) / 1e9 + 7 * 1e-6, 1e-15);
  EXPECT_EQ(cost.exchange_rank, 0);
  EXPECT_EQ(cost.fixed_seconds, 1e-6);
  EXPECT_DOUBLE_EQ(cost.seconds(), cost.compute_seconds + cost.exchange_seconds + 1e-6);
}

TEST(StepCost, OtherNodesAreReachedOverTheSlowLinks) {
  // Nodes {0, 1} and {2}. Every rank sends a third of 100 rows to rank 0, a third of 50 to rank 2.
  const LayerStepCost cost = price_layer(two_experts(3), 0, {{{0, 0, 0, 4}, {1, 2, 0, 6}}});
  const double bytes = 4 * 20 + 16 + 8;
  EXPECT_NEAR(cost.ranks[0].exchange_seconds, 7 * 1.1e-5 + 100 / 3.0 * bytes / 1e8, 1e-12);
  EXPECT_NEAR(cost.ranks[1].exchange_seconds, 7 * 1.1e-5 + 50 / 3.0 * bytes / 1e8, 1e-12);
  EXPECT_NEAR(cost.ranks[2].exchange_seconds, 7 * 2e-5 + 100 / 3.0 * bytes / 1e8, 1e-12);
  EXPECT_EQ(cost.exchange_rank, 2);
  EXPECT_DOUBLE_EQ(cost.exchange_seconds, cost.ranks[2].exchange_seconds);
  EXPECT_EQ(cost.ranks[1].compute_seconds, 0);
}

TEST(StepCost, InTwoHopsARowCrossesOncePerNodeByHand) {
  // Nodes {0, 1} and {2, 3}; the 100 rows of expert 0 concern both ranks of the first one.
  PlanProblem problem = two_experts(4);
  problem.two_hops = true;
  const LayerPlacement cut = {{{0, 0, 0, 2}, {0, 1, 2, 4}, {1, 2, 0, 6}}};
  const LayerStepCost cost = price_layer(problem, 0, cut);
  // Rank 0 gets from its place on the other node a quarter of 100 rows, with 50 selections, over
  // the slow link; it exchanges 25 rows with rank 1, and hands on and is handed 25. Rows are of 20
  // bytes.
  const double latency = 1.1e-5 + 1e-6;
  const double counts = 1e-6 + 2 * 1e-5;
  const auto transfer = [&](double selection_bytes) {
    return latency + (25 * 20 + 50 * selection_bytes) / 1e8 + 25 * (20 + selection_bytes) / 1e9;
  };
  const double expected =
      counts + latency + transfer(16) + transfer(0) + transfer(0) + latency + transfer(8);
  EXPECT_NEAR(cost.ranks[0].exchange_seconds, expected, 1e-15);
  EXPECT_EQ(cost.exchange_rank, 0);
  problem.two_hops = false;
  EXPECT_GT(price_layer(problem, 0, cut).ranks[0].exchange_seconds,
            4 * 1e-5 + 50 * (4 * 20 + 16 + 8) / 1e8);
}

TEST(StepCost, OfReplicasInTwoHopsEachNodeGetsItsShare) {
  // Slow links alone cost. Sources on {0, 1} send the second node its tokens of expert 0, once
  // each.
  PlanProblem problem = two_experts(4);
  problem.layers[0].tokens = {100, 0};
  problem.two_hops = true;
  problem.cluster->same_node = {0, 1e30};
  problem.cluster->other_node.latency_seconds = 0;
  const auto slow_seconds = [&](double share_here, double share_2, double share_3) {
    const LayerPlacement placement = {
        {{0, 0, 0, 4, share_here}, {0, 2, 0, 4, share_2}, {0, 3, 0, 4, share_3}, {1, 0, 0, 6}}};
    return price_layer(problem, 0, placement).ranks[0].exchange_seconds;
  };
  const double per_share = 100 / 4.0 * (4 * 20 + 16 + 8) / 1e8;  // out of rank 0
  const double replicas =
      slow_seconds(0.5, 0.25, 0.25) - 0.5 * per_share;  // their gradients, copies
  EXPECT_NEAR(replicas, 2 * 4 * 3 * 10 * (4 + 2) / 1e8, 1e-12);
  EXPECT_NEAR(slow_seconds(0.25, 0.25, 0.5), 0.75 * per_share + replicas, 1e-12);
  EXPECT_NEAR(slow_seconds(0.25, 0.5, 0.25), 0.75 * per_share + replicas, 1e-12);
}

TEST(StepCost, TwoHopsNeedNodesOfSeveralRanks) {
  PlanProblem problem = two_experts(4);
  const LayerPlacement cut = {{{0, 0, 0, 2}, {0, 1, 2, 4}, {1, 2, 0, 6}}};
  for (const int ranks_per_node : {1, 4, 9}) {
    problem.cluster->ranks_per_node = ranks_per_node;
    problem.two_hops = false;
    const double one_hop = price_layer(problem, 0, cut).exchange_seconds;
    problem.two_hops = true;
    EXPECT_EQ(price_layer(problem, 0, cut).exchange_seconds, one_hop) << ranks_per_node;
  }
}

TEST(TwoHopFlows, WhatAllSendIsWhatAllReceive) {
  // Uneven nodes and sources.
  const RankNodes nodes = nodes_of_neighbours(3, 0, 5);
  const TokenReach reach{{0.5, 0.25, 0.75, 0, 0.125}, {0.875, 0.125}};
  TwoHopFlow sum;
  for (const TwoHopFlow& flow : two_hop_flows(nodes, {7, 0, 3, 5, 2}, reach)) {
    sum = two_hop_bytes(sum, 1, flow, 1);
  }
  EXPECT_NEAR(sum.near_out, sum.near_in, 1e-12);
  EXPECT_NEAR(sum.far_out, sum.far_in, 1e-12);
  EXPECT_NEAR(sum.on_out, sum.on_in, 1e-12);
  EXPECT_NEAR(sum.far_out, 10 * 0.125 + 7 * 0.875, 1e-12);
}

TEST(StepCost, OneRankExchangesNothing) {
  const LayerStepCost cost = price_layer(two_experts(1), 0, {{{0, 0, 0, 4}, {1, 0, 0, 6}}});
  EXPECT_EQ(cost.exchange_seconds, 0);
  EXPECT_NEAR(cost.compute_seconds, 3e-9 * 10 * (100 * 4 + 50 * 6), 1e-15);
}

TEST(StepCost, MicrobatchesPayTheLatencyEach) {
  PlanProblem problem = two_experts(2);
  const LayerPlacement placement = {{{0, 0, 0, 4}, {1, 1, 0, 6}}};
  const LayerStepCost one = price_layer(problem, 0, placement);
  problem.microbatches = 4;
  const LayerStepCost four = price_layer(problem, 0, placement);
  EXPECT_NEAR(four.compute_seconds, one.compute_seconds, 1e-15);
  EXPECT_NEAR(four.exchange_seconds - one.exchange_seconds, 3 * 7 * 1e-6, 1e-15);
  EXPECT_DOUBLE_EQ(four.fixed_seconds, 4 * one.fixed_seconds);
}

TEST(StepCost, ExpertsWithoutTokensCostNothing) {
  PlanProblem problem = two_experts(2);
  problem.layers[0].tokens = {100, 0};
  const LayerStepCost cost = price_layer(problem, 0, {{{0, 0, 0, 4}, {1, 1, 0, 6}}});
  EXPECT_EQ(cost.ranks[1].compute_seconds, 0);
  EXPECT_EQ(cost.ranks[1].rows.in, 0);
}

TEST(StepCost, ReplicasShareRowsAndSecondsByTheirShares) {
  const LayerStepCost cost =
      price_layer(two_experts(2), 0, {{{0, 0, 0, 4, 0.25}, {0, 1, 0, 4, 0.75}, {1, 1, 0, 6}}});
  EXPECT_NEAR(cost.ranks[0].compute_seconds, 3e-9 * 10 * 25 * 4, 1e-15);
  EXPECT_NEAR(cost.ranks[1].compute_seconds, 3e-9 * 10 * (75 * 4 + 50 * 6), 1e-15);
  EXPECT_DOUBLE_EQ(cost.ranks[1].rows.held, 125);
}

TEST(StepCost, RenamedRanksOfANodeCostTheSame) {
  PlanProblem problem = two_experts(4);
  const double seconds = price_layer(problem, 0, {{{0, 0, 0, 4}, {1, 2, 0, 6}}}).seconds();
  EXPECT_DOUBLE_EQ(price_layer(problem, 0, {{{0, 1, 0, 4}, {1, 3, 0, 6}}}).seconds(), seconds);
  EXPECT_DOUBLE_EQ(price_layer(problem, 0, {{{0, 2, 0, 4}, {1, 0, 0, 6}}}).seconds(), seconds);
}

TEST(StepCost, TheStepIsTheSumOfItsLayers) {
  PlanProblem problem = two_experts(2);
  problem.layers.push_back({{8, 8}, {5, 500}});
  const Placement placement = {{{{{0, 0, 0, 4}, {1, 1, 0, 6}}}, {{{0, 0, 0, 8}, {1, 1, 0, 8}}}}};
  const double sum = price_layer(problem, 0, placement.layers[0]).seconds() +
                     price_layer(problem, 1, placement.layers[1]).seconds();
  EXPECT_DOUBLE_EQ(predict_step(problem, placement).total(), sum);
  EXPECT_DOUBLE_EQ(evaluate(problem, placement).predicted_step_seconds.value(), sum);
  problem.cluster.reset();
  EXPECT_FALSE(evaluate(problem, placement).predicted_step_seconds.has_value());
}

TEST(StepCost, TrafficBindsWhenTheExchangeIsLonger) {
  PlanProblem problem = two_experts(2);
  problem.tolerance = 1;
  problem.memory_cap_ratio = 2;
  const Placement placement = {{{{{0, 0, 0, 4}, {1, 1, 0, 6}}}}};
  EXPECT_EQ(evaluate(problem, placement).bound_by, "traffic");  // 12.2 us over 12 us
  problem.cluster->same_node.latency_seconds = 0.9e-6;
  EXPECT_EQ(evaluate(problem, placement).bound_by, "none");
  problem.tolerance = 0.1;
  EXPECT_EQ(evaluate(problem, placement).bound_by, "compute");
}

TEST(RankMemoryOfExperts, ByHandAndAsThePlannerCountsIt) {
  PlanProblem problem = two_experts(2);
  const Placement placement = {
      {{{{0, 0, 0, 1}, {0, 1, 1, 4}, {1, 0, 0, 6, 0.5}, {1, 1, 0, 6, 0.5}}}}};
  const auto memory = memory_of_ranks(problem, placement);
  EXPECT_EQ(memory[0].weights, (1 + 6) * 30 * 2);
  EXPECT_EQ(memory[0].gradients, (1 + 6) * 30 * 4);
  EXPECT_EQ(memory[0].masters, (1 + 6) * 30 * 4);
  EXPECT_EQ(memory[0].moments, (1 + 6) * 30 * 8);
  EXPECT_EQ(memory[1].moments, 3 * 30 * 8);  // the replica of expert 1 is not the owner
  EXPECT_EQ(memory[0].activations, 2 * (100 * (10 + 2 * 1) + 25 * (10 + 2 * 6)));
  const auto bytes = expert_bytes_of_ranks(problem, placement);
  for (int rank = 0; rank < 2; ++rank) {
    EXPECT_EQ(memory[rank].total() - memory[rank].activations, bytes[rank]);
  }
}

TEST(RankMemoryOfExperts, InFp32TheCopyIsTheMaster) {
  PlanProblem problem = two_experts(1);
  problem.bytes_per_parameter = 16;
  problem.bytes_per_value = 4;
  problem.microbatches = 2;
  const auto memory = memory_of_ranks(problem, {{{{{0, 0, 0, 4}, {1, 0, 0, 6}}}}});
  EXPECT_EQ(memory[0].masters, 0);
  EXPECT_EQ(memory[0].weights, 10 * 30 * 4);
  EXPECT_EQ(memory[0].activations, 4 * (50 * (10 + 2 * 4) + 25 * (10 + 2 * 6)));
}

TEST(RankMemoryOfExperts, GateAndUpMadeAgainAreHeldForOneLayerAndCostTwoProducts) {
  PlanProblem problem = two_experts(1);
  problem.layers.push_back({{4, 6}, {100, 80}});
  const Placement placement{std::vector<LayerPlacement>(2, {{{0, 0, 0, 4}, {1, 0, 0, 6}}})};
  const double kept = price_layer(problem, 0, placement.layers[0]).compute_seconds;
  problem.recompute = Recompute::kExperts;
  // Rows of both layers, products of the second, which has more.
  EXPECT_EQ(memory_of_ranks(problem, placement)[0].activations,
            2 * ((150 + 180) * 10 + 2 * (100 * 4 + 80 * 6)));
  EXPECT_NEAR(price_layer(problem, 0, placement.layers[0]).compute_seconds, kept * (1 + 2.0 / 9),
              1e-15);
}

}  // namespace
}  // namespace hetmoe
