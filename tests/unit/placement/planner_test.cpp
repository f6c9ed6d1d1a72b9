#include "parallel/placement/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <set>

#include "core/base/error.h"
#include "parallel/placement/cost.h"
#include "parallel/placement/plan_json.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

PlanProblem random_problem(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto draw = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
  };
  PlanProblem problem;
  problem.hidden_size = draw(1, 1024);
  problem.ranks = static_cast<int>(draw(1, 12));
  problem.memory_cap_ratio = 1.0 + static_cast<double>(draw(0, 30)) / 100;
  const std::int64_t layers = draw(1, 4);
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    PlanLayer one;
    const std::int64_t experts = draw(1, 20);
    const bool idle = draw(0, 5) == 0;
    for (std::int64_t expert = 0; expert < experts; ++expert) {
      one.widths.push_back(draw(1, 3000));
      one.tokens.push_back(idle || draw(0, 4) == 0 ? 0 : draw(0, 100000));
    }
    problem.layers.push_back(one);
  }
  return problem;
}

std::vector<int> ranks_of(const LayerPlacement& layer) {
  std::vector<int> ranks;
  for (const PlacedSlice& slice : layer.slices) ranks.push_back(slice.rank);
  return ranks;
}

TEST(Plan, random_instances_place_every_expert_whole_and_once) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const PlanProblem problem = random_problem(seed);
    for (const PlanStrategy strategy : {PlanStrategy::kWhole, PlanStrategy::kContiguous}) {
      const Plan result = plan(problem, strategy);
      ASSERT_EQ(result.placement.layers.size(), problem.layers.size());
      for (std::size_t layer = 0; layer < problem.layers.size(); ++layer) {
        const auto& slices = result.placement.layers[layer].slices;
        ASSERT_EQ(slices.size(), problem.layers[layer].widths.size()) << "seed " << seed;
        for (std::size_t e = 0; e < slices.size(); ++e) {
          ASSERT_EQ(slices[e].expert, static_cast<int>(e));
          ASSERT_EQ(slices[e].begin, 0);
          ASSERT_EQ(slices[e].end, problem.layers[layer].widths[e]);
          ASSERT_EQ(slices[e].share, 1.0);
          ASSERT_TRUE(slices[e].rank >= 0 && slices[e].rank < problem.ranks);
        }
        ASSERT_GE(result.layers[layer].flops_max_over_mean, 1.0 - 1e-12);
        ASSERT_EQ(result.layers[layer].traffic_ratio, 1.0);
      }
      ASSERT_GE(result.memory_max_over_mean, 1.0 - 1e-12);
      ASSERT_EQ(write_plan(result), write_plan(plan(problem, strategy))) << "not deterministic";
    }
  }
}

// Greedy on one layer without a cap: no more than the classical bound, max <= (4/3 - 1/(3R)) best,
// and best >= max(mean, largest).
TEST(Plan, whole_keeps_the_bound_of_longest_first_scheduling) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    PlanProblem problem = random_problem(seed);
    problem.memory_cap_bytes = 1e18;
    for (const PlanLayer& layer : std::vector(problem.layers)) {
      problem.layers = {layer};
      const auto loads = effective_loads(layer);
      double sum = 0, largest = 0;
      for (std::size_t e = 0; e < loads.size(); ++e) {
        const double flops = static_cast<double>(loads[e] * layer.widths[e]);
        sum += flops;
        largest = std::max(largest, flops);
      }
      const double mean = sum / problem.ranks;
      // List scheduling: the last job started when its rank was below the mean.
      const double bound = std::max(largest, mean + largest * (1.0 - 1.0 / problem.ranks)) / mean;
      const Plan result = plan(problem, PlanStrategy::kWhole);
      ASSERT_LE(result.layers[0].flops_max_over_mean, bound * (1 + 1e-12)) << "seed " << seed;
    }
  }
}

TEST(Plan, renaming_experts_does_not_change_costs) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    PlanProblem problem = random_problem(seed);
    // Equal FLOPs would be told apart by the expert's name: make them all different.
    for (PlanLayer& layer : problem.layers)
      for (std::size_t e = 0; e < layer.widths.size(); ++e) {
        layer.widths[e] = 100 + static_cast<std::int64_t>(e) * 7;
        layer.tokens[e] = 1000 + layer.widths[e] + static_cast<std::int64_t>(seed % 13);
      }
    const Plan before = plan(problem, PlanStrategy::kWhole);
    for (PlanLayer& layer : problem.layers) {
      std::mt19937_64 same(seed), again(seed);
      std::shuffle(layer.widths.begin(), layer.widths.end(), same);
      std::shuffle(layer.tokens.begin(), layer.tokens.end(), again);
    }
    const Plan after = plan(problem, PlanStrategy::kWhole);
    for (std::size_t layer = 0; layer < before.layers.size(); ++layer)
      ASSERT_DOUBLE_EQ(before.layers[layer].flops_max_over_mean,
                       after.layers[layer].flops_max_over_mean);
    ASSERT_DOUBLE_EQ(before.memory_max_over_mean, after.memory_max_over_mean);
  }
}

TEST(Plan, whole_by_hand) {
  PlanProblem problem;
  problem.hidden_size = 8;
  problem.ranks = 2;
  problem.memory_cap_bytes = 1e12;
  // FLOPs 50, 40, 30, 20, 10: 50 -> 0; 40 -> 1; 30 -> 1 (40 < 50); 20 -> 0; 10: 70, 70: a tie, the
  // rank with fewer rows (0 holds 5 + 2, 1 holds 4 + 3), equal too: the lower rank.
  problem.layers = {{{1, 2, 3, 4, 5}, {10, 10, 10, 10, 10}}};
  EXPECT_EQ(ranks_of(plan(problem, PlanStrategy::kWhole).placement.layers[0]),
            (std::vector{0, 0, 1, 1, 0}));
}

TEST(Plan, whole_prefers_ranks_with_room_over_all_layers) {
  PlanProblem problem;
  problem.hidden_size = 1;
  problem.ranks = 2;
  problem.memory_cap_ratio = 1.0;
  // The wide expert is nearly idle in both layers: by FLOPs alone it would join the same rank.
  problem.layers = {{{9, 1, 1}, {1, 100, 50}}, {{9, 1, 1}, {1, 100, 50}}};
  const Plan result = plan(problem, PlanStrategy::kWhole);
  EXPECT_NE(result.placement.layers[0].slices[0].rank, result.placement.layers[1].slices[0].rank);
}

TEST(Plan, contiguous_splits_counts_in_order) {
  PlanProblem problem;
  problem.hidden_size = 8;
  problem.ranks = 3;
  problem.layers = {{std::vector<std::int64_t>(8, 5), std::vector<std::int64_t>(8, 1)}};
  EXPECT_EQ(ranks_of(plan(problem, PlanStrategy::kContiguous).placement.layers[0]),
            (std::vector{0, 0, 1, 1, 1, 2, 2, 2}));
}

TEST(Plan, more_ranks_than_experts_leave_ranks_empty) {
  PlanProblem problem;
  problem.hidden_size = 8;
  problem.ranks = 5;
  problem.layers = {{{7, 7, 7, 7}, {0, 0, 0, 0}}};
  for (const PlanStrategy strategy : {PlanStrategy::kWhole, PlanStrategy::kContiguous}) {
    const Plan result = plan(problem, strategy);
    const auto ranks = ranks_of(result.placement.layers[0]);
    EXPECT_EQ(std::set<int>(ranks.begin(), ranks.end()).size(), 4U);
    EXPECT_DOUBLE_EQ(result.layers[0].flops_max_over_mean, 1.25);
  }
}

TEST(Plan, problems_that_make_no_sense_are_refused_by_pointer_and_value) {
  const auto fault = [](const std::function<void(PlanProblem&)>& spoil) -> std::string {
    PlanProblem problem = random_problem(7);
    spoil(problem);
    try {
      static_cast<void>(plan(problem, PlanStrategy::kWhole));
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(fault([](auto& p) { p.ranks = 0; }), HasSubstr("/ranks is 0, allowed: 1"));
  EXPECT_THAT(fault([](auto& p) { p.layers[0].widths[0] = 0; }),
              HasSubstr("/layers/0/widths/0 is 0"));
  EXPECT_THAT(fault([](auto& p) { p.layers[0].tokens[0] = -3; }),
              HasSubstr("/layers/0/tokens/0 is -3"));
  EXPECT_THAT(fault([](auto& p) { p.layers[0].tokens.pop_back(); }),
              HasSubstr("/layers/0/tokens is of length"));
  EXPECT_THAT(fault([](auto& p) { p.tolerance = std::nan(""); }), HasSubstr("/tolerance is nan"));
  EXPECT_THAT(fault([](auto& p) { p.memory_cap_ratio = 0.5; }),
              HasSubstr("/memory_cap_ratio is 0.5"));
  EXPECT_THAT(fault([](auto& p) { p.memory_cap_bytes = std::numeric_limits<double>::infinity(); }),
              HasSubstr("/memory_cap_bytes is inf"));
  EXPECT_THAT(fault([](auto& p) { p.layers.clear(); }), HasSubstr("/layers is empty"));
  EXPECT_THAT(fault([](auto& p) { p.layers[0].widths[0] = std::int64_t{1} << 60; }),
              HasSubstr("/layers/0/widths/0 is 1152921504606846976"));
}

TEST(PlanStrategyOf, names_are_those_of_the_configuration) {
  EXPECT_EQ(plan_strategy_of("whole"), PlanStrategy::kWhole);
  EXPECT_EQ(plan_strategy_of("contiguous"), PlanStrategy::kContiguous);
  EXPECT_THROW(static_cast<void>(plan_strategy_of("equal")), ConfigError);
}

}  // namespace
}  // namespace hetmoe
