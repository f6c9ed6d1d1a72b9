#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "parallel/placement/planner.h"
#include "parallel/simulation/simulation.h"
#include "tests/support/simulated_worlds.h"
#include "tests/support/small_cluster.h"

namespace hetmoe {
namespace {

/// Three layers of six experts, two per token, with or without equal widths.
SimulatedWorld world_of(int ranks, WorkloadKind kind, bool is_homogeneous, std::int64_t sequences) {
  const std::vector<double> weights = source_weights(kind, ranks);
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<std::int64_t> dealt;
  for (const double weight : weights)
    dealt.push_back(std::llround(static_cast<double>(sequences) * weight / sum));
  SimulatedWorld world = small_world(dealt);
  world.model.num_layers = 3;
  world.model.experts = {.count = 6, .mean_width = 96, .widths = {}};
  if (is_homogeneous) world.model.experts.shape = WidthShape::kHomogeneous;
  world.model.router.top_k = 2;
  return world;
}

std::vector<std::vector<RoutedTokens>> routed(const SimulatedWorld& world, WorkloadKind kind) {
  const RoutingShape shape{
      .layers = 3,
      .experts = 6,
      .top_k = 2,
      .tokens = static_cast<std::int64_t>(world.microbatch_tokens()) * world.microbatches};
  return {route_step(Workload(kind, 6, 2, 5), shape, 1)};
}

Placement placed(const SimulatedWorld& world, const std::vector<RoutedTokens>& layers,
                 PlanStrategy strategy) {
  PlanProblem problem{
      .hidden_size = 64, .ranks = world.expert_group_size, .granularity = 8, .layers = {}};
  for (const RoutedTokens& layer : layers) {
    problem.layers.push_back({.widths = expert_widths(world.model.experts), .tokens = {}});
    for (const double selected : layer.selected)
      problem.layers.back().tokens.push_back(static_cast<std::int64_t>(selected * 1e6));
  }
  return plan(problem, strategy).placement;
}

struct Case {
  SimulatedWorld world;
  std::vector<std::vector<RoutedTokens>> steps;
  Placement placement;

  Simulation on(const Cluster& cluster) const { return simulate(cluster, world, steps, placement); }
};

Case case_of(int ranks, WorkloadKind kind, PlanStrategy strategy = PlanStrategy::kSlices,
             bool is_homogeneous = false, std::int64_t sequences = 29) {
  Case made{
      .world = world_of(ranks, kind, is_homogeneous, sequences), .steps = {}, .placement = {}};
  made.steps = routed(made.world, kind);
  made.placement = placed(made.world, made.steps.front(), strategy);
  return made;
}

constexpr WorkloadKind kKinds[] = {WorkloadKind::kW0, WorkloadKind::kW1, WorkloadKind::kW2,
                                   WorkloadKind::kW3, WorkloadKind::kW4, WorkloadKind::kW5,
                                   WorkloadKind::kW6, WorkloadKind::kW7};

TEST(SimulationProperties, AStepIsNeverFasterThanAnyRankNorThanItsEvenForm) {
  for (const WorkloadKind kind : kKinds) {
    for (const int ranks : {1, 2, 3, 5, 12}) {
      const Simulation simulation = case_of(ranks, kind).on(small_cluster());
      EXPECT_GE(simulation.step_seconds(), simulation.even_seconds * (1 - 1e-12));
      for (const SimulatedRank& rank : simulation.ranks) {
        EXPECT_GE(rank.waiting, -1e-12);
        EXPECT_NEAR(rank.waiting + rank.busy.sum(), simulation.step_seconds(), 1e-12);
      }
    }
  }
}

TEST(SimulationProperties, FasterLinksAndKernelsNeverSlowAStepDown) {
  for (const WorkloadKind kind : kKinds) {
    const Case made = case_of(5, kind);
    const double before = made.on(small_cluster()).step_seconds();
    const auto improved = [&](auto change) {
      Cluster better = small_cluster();
      change(better);
      return made.on(better).step_seconds();
    };
    EXPECT_LT(improved([](Cluster& c) { c.same_node.bytes_per_second *= 2; }),
              before * (1 + 1e-12));
    EXPECT_LT(improved([](Cluster& c) { c.other_node.bytes_per_second *= 2; }), before);
    EXPECT_LT(improved([](Cluster& c) { c.other_node.latency_seconds /= 2; }), before);
    EXPECT_LT(improved([](Cluster& c) { c.memory_bytes_per_second *= 2; }), before);
    EXPECT_LT(improved([](Cluster& c) { c.optimizer_bytes_per_second *= 2; }), before);
    EXPECT_LT(made.on(small_cluster(0.5e-9)).step_seconds(), before);
  }
}

TEST(SimulationProperties, EqualExpertsUnderEvenRoutingBusyAllRanksAlike) {
  const Case made = case_of(3, WorkloadKind::kW0, PlanStrategy::kContiguous, true, 30);
  Cluster cluster = small_cluster();
  cluster.ranks_per_node = 3;
  SimulatedWorld world = made.world;
  world.ranks_per_node = 3;
  const Simulation simulation = simulate(cluster, world, made.steps, made.placement);
  for (const SimulatedRank& rank : simulation.ranks) {
    EXPECT_NEAR(rank.busy.expert, simulation.ranks[0].busy.expert, 1e-12);
    EXPECT_NEAR(rank.busy.dense, simulation.ranks[0].busy.dense, 1e-12);
    EXPECT_NEAR(rank.busy.dispatch / simulation.ranks[0].busy.dispatch, 1, 0.05);
  }
}

TEST(SimulationProperties, SlicesSpreadWhatContiguousExpertsPileUp) {
  for (const WorkloadKind kind : {WorkloadKind::kW1, WorkloadKind::kW2, WorkloadKind::kW3}) {
    const double contiguous =
        case_of(4, kind, PlanStrategy::kContiguous).on(small_cluster()).parts.expert;
    EXPECT_LT(case_of(4, kind).on(small_cluster()).parts.expert, contiguous);
  }
}

TEST(SimulationProperties, RanksWithoutTokensStillServeTheirSlices) {
  const Simulation simulation = case_of(4, WorkloadKind::kW5).on(small_cluster());
  EXPECT_EQ(simulation.ranks[1].memory.activations, 0);
  EXPECT_GT(simulation.ranks[0].memory.activations, 0);
  EXPECT_GT(simulation.ranks[1].busy.expert, 0);
  EXPECT_LT(simulation.ranks[1].busy.dense, simulation.ranks[0].busy.dense);
}

TEST(SimulationProperties, MoreRanksThanExpertsLeaveSomeWithoutSlices) {
  const Case made = case_of(9, WorkloadKind::kW3, PlanStrategy::kContiguous);
  const Simulation simulation = made.on(small_cluster());
  const auto idle = std::count_if(simulation.ranks.begin(), simulation.ranks.end(),
                                  [](const SimulatedRank& rank) { return rank.busy.expert == 0; });
  EXPECT_EQ(idle, 3);
  EXPECT_GT(simulation.tokens_per_second(), 0);
}

TEST(SimulationProperties, TheMeanOverTwoEqualStepsIsTheStep) {
  Case made = case_of(3, WorkloadKind::kW3);
  const Simulation one = made.on(small_cluster());
  made.steps.push_back(made.steps.front());
  const Simulation two = made.on(small_cluster());
  EXPECT_NEAR(two.step_seconds(), one.step_seconds(), 1e-12);
  EXPECT_NEAR(two.ranks[1].memory.received, one.ranks[1].memory.received, 1e-6);
}

TEST(SimulationProperties, TheMemoryOfSeveralStepsIsThatOfTheFullest) {
  Case made = case_of(3, WorkloadKind::kW0);
  const Simulation even = made.on(small_cluster());
  const auto even_steps = made.steps;
  made.steps = case_of(3, WorkloadKind::kW2).steps;
  const Simulation hot = made.on(small_cluster());
  made.steps.insert(made.steps.end(), 3, even_steps.front());
  const Simulation both = made.on(small_cluster());
  bool differs = false;
  for (std::size_t rank = 0; rank < 3; ++rank) {
    const double of_even = even.ranks[rank].memory.received;
    const double of_hot = hot.ranks[rank].memory.received;
    EXPECT_NEAR(both.ranks[rank].memory.received, std::max(of_even, of_hot), 1e-6);
    differs = differs || of_hot > 1.05 * of_even;
  }
  EXPECT_TRUE(differs);
}

TEST(SimulationProperties, SixteenThousandRanksInGroups) {
  constexpr int kRanks = 16384;
  Case made{.world = world_of(kRanks, WorkloadKind::kW4, false, 2 * kRanks),
            .steps = {},
            .placement = {}};
  made.world.expert_group_size = 16;
  made.world.ranks_per_node = 8;
  made.steps = routed(made.world, WorkloadKind::kW4);
  made.placement = placed(made.world, made.steps.front(), PlanStrategy::kSlices);
  const Simulation simulation = made.on(small_cluster());
  ASSERT_EQ(simulation.ranks.size(), std::size_t{kRanks});
  EXPECT_EQ(simulation.tokens, 4.0 * 2 * kRanks);
  EXPECT_EQ(simulation.ranks[3].busy.expert, simulation.ranks[16 * 700 + 3].busy.expert);
}

}  // namespace
}  // namespace hetmoe
