#include "parallel/placement/slice_planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "parallel/placement/cost.h"
#include "parallel/placement/exact_planner.h"
#include "parallel/placement/placement_change.h"
#include "parallel/placement/plan_json.h"
#include "tests/support/placement_instances.h"

namespace hetmoe {
namespace {

PlanProblem odd_problem(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto draw = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
  };
  PlanProblem problem;
  problem.hidden_size = 16;
  problem.ranks = static_cast<int>(draw(1, 12));
  problem.granularity = draw(1, 40);
  problem.memory_cap_ratio = 1.05 + static_cast<double>(draw(0, 50)) / 100;
  const std::int64_t experts = draw(1, 24);
  problem.layers.resize(static_cast<std::size_t>(draw(1, 3)));
  for (PlanLayer& layer : problem.layers) {
    const bool idle = draw(0, 6) == 0;
    for (std::int64_t e = 0; e < experts; ++e) {
      layer.widths.push_back(draw(1, 3000));
      layer.tokens.push_back(idle || draw(0, 4) == 0 ? 0 : draw(0, 100000));
    }
  }
  return problem;
}

// evaluate() refuses a placement that does not hold every row exactly once.
TEST(Slices, RandomProblemsPlaceEveryRowOnceAndCutAtMultiples) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const PlanProblem problem = odd_problem(seed);
    const Plan result = plan(problem, PlanStrategy::kSlices);
    for (const LayerPlacement& layer : result.placement.layers) {
      for (const PlacedSlice& slice : layer.slices) {
        ASSERT_EQ(slice.begin % problem.granularity, 0) << "seed " << seed;
        ASSERT_EQ(slice.share, 1.0);
      }
      // Neighbours on one rank would travel twice.
      for (std::size_t i = 1; i < layer.slices.size(); ++i) {
        ASSERT_FALSE(layer.slices[i - 1].expert == layer.slices[i].expert &&
                     layer.slices[i - 1].rank == layer.slices[i].rank);
      }
    }
    ASSERT_EQ(write_plan(result), write_plan(plan(problem, PlanStrategy::kSlices))) << seed;
  }
}

TEST(Slices, APlanOfAPlanMovesNothing) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    PlanProblem problem = odd_problem(seed);
    const Plan first = plan(problem, PlanStrategy::kSlices);
    problem.current = first.placement;
    EXPECT_EQ(plan(problem, PlanStrategy::kSlices).placement, first.placement) << seed;
  }
}

TEST(Slices, AfterADriftMostRowsStayWhereTheyAre) {
  double moved = 0, rows = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    PlanProblem problem = random_instance({16, 4, 0.5}, seed);
    const Plan before = plan(problem, PlanStrategy::kSlices);
    for (std::size_t e = 0; e < 16; e += 3)
      problem.layers[0].tokens[e] += problem.layers[0].tokens[e] / 4;
    const Plan unrelated = plan(problem, PlanStrategy::kSlices);
    problem.current = before.placement;
    const Plan after = plan(problem, PlanStrategy::kSlices);
    EXPECT_LE(after.layers[0].flops_max_over_mean, 1.02 + 1e-12);
    EXPECT_LE(moved_rows(before.placement.layers[0], after.placement.layers[0]),
              moved_rows(before.placement.layers[0], unrelated.placement.layers[0]));
    moved += static_cast<double>(moved_rows(before.placement.layers[0], after.placement.layers[0]));
    rows += static_cast<double>(
        std::accumulate(problem.layers[0].widths.begin(), problem.layers[0].widths.end(), 0L));
  }
  EXPECT_LT(moved / rows, 0.7);
}

TEST(Slices, RenamedRanksCostTheSame) {
  const PlanProblem problem = random_instance({8, 5, 0.7}, 1);
  const Plan result = plan(problem, PlanStrategy::kSlices);
  Placement renamed = result.placement;
  for (PlacedSlice& slice : renamed.layers[0].slices) slice.rank = (slice.rank + 2) % 5;
  const Plan again = evaluate(problem, renamed);
  EXPECT_DOUBLE_EQ(again.layers[0].flops_max_over_mean, result.layers[0].flops_max_over_mean);
  EXPECT_DOUBLE_EQ(again.layers[0].traffic_ratio, result.layers[0].traffic_ratio);
  EXPECT_DOUBLE_EQ(again.memory_max_over_mean, result.memory_max_over_mean);
}

TEST(Slices, EveryInstanceOfTheFiguresIsBalancedInsideItsMemory) {
  for (const InstanceKind& kind : kInstanceKinds) {
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      const Plan result = plan(random_instance(kind, seed), PlanStrategy::kSlices);
      EXPECT_LE(result.layers[0].flops_max_over_mean, 1.02 + 1e-12)
          << kind.experts << " experts, " << kind.ranks << " ranks, seed " << seed;
      EXPECT_LE(result.memory_max_over_mean, 1.10 + 1e-12)
          << kind.experts << " experts, " << kind.ranks << " ranks, seed " << seed;
    }
  }
}

TEST(Slices, WholeExpertsAreKeptWhereTheySuffice) {
  PlanProblem problem;
  problem.hidden_size = 8;
  problem.ranks = 2;
  problem.layers = {{.widths = {64, 64, 128, 128}, .tokens = {10, 10, 10, 10}}};
  const Plan result = plan(problem, PlanStrategy::kSlices);
  EXPECT_EQ(result.layers[0].traffic_ratio, 1.0);
  EXPECT_EQ(result.layers[0].flops_max_over_mean, 1.0);
}

/// The least traffic of all ways to give whole granules of three experts to two ranks.
std::int64_t least_traffic_by_trying(const PlanProblem& problem) {
  const PlanLayer& layer = problem.layers[0];
  const std::int64_t g = problem.granularity;
  const double work =
      std::inner_product(layer.widths.begin(), layer.widths.end(), layer.tokens.begin(), 0.0);
  const double rows = std::accumulate(layer.widths.begin(), layer.widths.end(), 0.0);
  std::int64_t best = std::numeric_limits<std::int64_t>::max();
  std::vector<std::int64_t> first(3);
  for (first[0] = 0; first[0] <= layer.widths[0]; first[0] += g) {
    for (first[1] = 0; first[1] <= layer.widths[1]; first[1] += g) {
      for (first[2] = 0; first[2] <= layer.widths[2]; first[2] += g) {
        double w = 0, r = 0;
        std::int64_t traffic = 0;
        for (int e = 0; e < 3; ++e) {
          w += static_cast<double>(layer.tokens[e] * first[e]);
          r += static_cast<double>(first[e]);
          traffic += layer.tokens[e] * ((first[e] > 0) + (first[e] < layer.widths[e]));
        }
        const double most = (1 + problem.tolerance) * work / 2;
        const double room = problem.memory_cap_ratio * rows / 2;
        if (std::max(w, work - w) <= most && std::max(r, rows - r) <= room) {
          best = std::min(best, traffic);
        }
      }
    }
  }
  return best;
}

TEST(ExactPlanner, AgreesWithTryingEverythingAndBoundsTheEverydayPlan) {
  int found = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    std::mt19937_64 random(seed);
    PlanProblem problem;
    problem.hidden_size = 8;
    problem.ranks = 2;
    problem.granularity = 4;
    PlanLayer& layer = problem.layers.emplace_back();
    for (int e = 0; e < 3; ++e) {
      layer.widths.push_back(4 * (3 + static_cast<std::int64_t>(random() % 12)));
      layer.tokens.push_back(50 + static_cast<std::int64_t>(random() % 100));
    }
    const std::int64_t expected = least_traffic_by_trying(problem);
    const auto room = room_for_layer(problem, 0, {0, 0});
    const auto exact = place_exactly(layer, 2, problem.tolerance, 4, room, 20);
    if (expected == std::numeric_limits<std::int64_t>::max()) {
      EXPECT_FALSE(exact.has_value()) << seed;
      continue;
    }
    ASSERT_TRUE(exact.has_value()) << seed;
    ++found;
    EXPECT_TRUE(exact->proven);
    EXPECT_EQ(exact->traffic, expected) << seed;
    const Plan everyday = plan(problem, PlanStrategy::kSlices);
    if (everyday.bound_by == "none") {
      const double tokens = std::accumulate(layer.tokens.begin(), layer.tokens.end(), 0.0);
      EXPECT_GE(everyday.layers[0].traffic_ratio * tokens, static_cast<double>(expected) - 1e-6);
    }
  }
  EXPECT_GE(found, 6);
}

}  // namespace
}  // namespace hetmoe
