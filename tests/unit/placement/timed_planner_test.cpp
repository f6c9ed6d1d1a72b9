#include "parallel/placement/timed_planner.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "parallel/placement/cost.h"
#include "parallel/placement/plan_json.h"
#include "parallel/placement/step_cost.h"
#include "tests/support/placement_instances.h"
#include "tests/support/small_cluster.h"

namespace hetmoe {
namespace {

/// An instance of the figures on ranks that share nodes in threes, links from free to dear.
PlanProblem timed_instance(std::uint64_t seed) {
  constexpr InstanceKind kKinds[] = {{8, 2, 0.3}, {8, 4, 0.7}, {8, 5, 0.7}, {16, 8, 0.5}};
  PlanProblem problem = random_instance(kKinds[seed % 4], seed);
  problem.cluster = small_cluster(1e-13);
  problem.cluster->ranks_per_node = 3;
  double bytes_per_second = 1e14;
  for (std::uint64_t i = 0; i < seed % 7; ++i) bytes_per_second /= 20;
  problem.cluster->same_node = {0, bytes_per_second};
  problem.cluster->other_node = {0, bytes_per_second / 5};
  return problem;
}

double seconds_of(const PlanProblem& problem, const Placement& placement) {
  return evaluate(problem, placement).predicted_step_seconds.value();
}

TEST(TimedPlanner, NoSlowerThanTheBalancedPlanOrWholeExpertsThatFit) {
  int faster = 0;
  for (std::uint64_t seed = 0; seed < 56; ++seed) {
    PlanProblem problem = timed_instance(seed);
    const Plan timed = plan(problem, PlanStrategy::kSlices);
    EXPECT_FALSE(missed_cap(problem, timed).has_value()) << seed;
    for (const auto strategy :
         {PlanStrategy::kWhole, PlanStrategy::kEqualCount, PlanStrategy::kContiguous}) {
      const Plan whole = plan(problem, strategy);
      if (missed_cap(problem, whole)) continue;
      EXPECT_LE(*timed.predicted_step_seconds, *whole.predicted_step_seconds) << seed;
    }
    PlanProblem untimed = problem;
    untimed.cluster.reset();
    const double balanced = seconds_of(problem, plan(untimed, PlanStrategy::kSlices).placement);
    EXPECT_LE(*timed.predicted_step_seconds, balanced) << seed;
    faster += *timed.predicted_step_seconds < 0.99 * balanced ? 1 : 0;
  }
  EXPECT_GE(faster, 10);  // else nothing was chosen by time
}

TEST(TimedPlanner, DearLinksKeepExpertsWholeAndFreeOnesBalanceThem) {
  PlanProblem problem = random_instance({8, 4, 0.7}, 3);
  problem.memory_cap_ratio = 4;
  problem.cluster = small_cluster(1e-13);
  problem.cluster->same_node = problem.cluster->other_node = {0, 1e15};
  const Plan free = plan(problem, PlanStrategy::kSlices);
  EXPECT_LE(free.layers[0].flops_max_over_mean, 1.02 + 1e-12);
  EXPECT_GT(free.layers[0].traffic_ratio, 1.0);
  EXPECT_NE(free.bound_by, "traffic");
  problem.cluster->same_node = problem.cluster->other_node = {0, 1e3};
  const Plan dear = plan(problem, PlanStrategy::kSlices);
  EXPECT_LT(dear.layers[0].traffic_ratio, free.layers[0].traffic_ratio);
  EXPECT_EQ(dear.bound_by, "traffic");
}

TEST(TimedPlanner, StrictKeepsTheToleranceWhateverItCosts) {
  for (std::uint64_t seed = 0; seed < 28; ++seed) {
    PlanProblem problem = timed_instance(seed);
    problem.strict = true;
    const Plan strict = plan(problem, PlanStrategy::kSlices);
    EXPECT_LE(strict.layers[0].flops_max_over_mean, 1 + problem.tolerance + 1e-12) << seed;
    problem.strict = false;
    EXPECT_LE(plan(problem, PlanStrategy::kSlices).predicted_step_seconds,
              strict.predicted_step_seconds)
        << seed;
  }
}

TEST(TimedPlanner, APlanOfAPlanMovesNothing) {
  for (std::uint64_t seed = 0; seed < 56; ++seed) {
    PlanProblem problem = timed_instance(seed);
    const Plan first = plan(problem, PlanStrategy::kSlices);
    EXPECT_EQ(write_plan(plan(problem, PlanStrategy::kSlices)), write_plan(first)) << seed;
    problem.current = first.placement;
    EXPECT_EQ(plan(problem, PlanStrategy::kSlices).placement, first.placement) << seed;
  }
}

TEST(TimedPlanner, ACurrentPlacementIsLeftWhenItHasBecomeSlow) {
  PlanProblem problem = timed_instance(1);
  problem.current = plan(problem, PlanStrategy::kSlices).placement;
  auto& tokens = problem.layers[0].tokens;
  std::swap(tokens.front(), tokens.back());
  tokens[1] /= 8;
  tokens[2] *= 3;
  const double kept = seconds_of(problem, *problem.current);
  const Plan after = plan(problem, PlanStrategy::kSlices);
  EXPECT_NE(after.placement, *problem.current);
  EXPECT_LT(*after.predicted_step_seconds, kept);
}

TEST(TimedPlanner, OddWorldsHaveAPlan) {
  PlanProblem problem;
  problem.hidden_size = 7;
  problem.cluster = small_cluster();
  problem.layers = {{{5, 3}, {0, 0}}, {{1, 9}, {1, 0}}};
  for (const int ranks : {1, 2, 5}) {
    problem.ranks = ranks;
    EXPECT_GT(plan(problem, PlanStrategy::kSlices).predicted_step_seconds.value(), 0) << ranks;
  }
}

}  // namespace
}  // namespace hetmoe
