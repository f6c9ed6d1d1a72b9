#include "parallel/placement/cost.h"

#include <gtest/gtest.h>

namespace hetmoe {
namespace {

PlanProblem two_layers() {
  PlanProblem problem;
  problem.hidden_size = 10;
  problem.ranks = 2;
  problem.layers = {{{4, 6}, {100, 50}}, {{2, 8}, {0, 0}}};
  return problem;
}

TEST(Evaluate, hand_computed_whole_experts) {
  // Layer 0: 400 and 300 FLOPs, mean 350. Layer 1, uniform: 2 and 8, mean 5.
  // Rows: rank 0 holds 4 + 2, rank 1 holds 6 + 8; mean 10.
  const Plan plan =
      evaluate(two_layers(), {{{{{0, 0, 0, 4}, {1, 1, 0, 6}}}, {{{0, 0, 0, 2}, {1, 1, 0, 8}}}}});
  EXPECT_DOUBLE_EQ(plan.layers[0].flops_max_over_mean, 400.0 / 350.0);
  EXPECT_DOUBLE_EQ(plan.layers[1].flops_max_over_mean, 1.6);
  EXPECT_DOUBLE_EQ(plan.layers[0].traffic_ratio, 1.0);
  EXPECT_DOUBLE_EQ(plan.memory_max_over_mean, 1.4);
  EXPECT_EQ(plan.bound_by, "compute");
}

TEST(Evaluate, hand_computed_cut_and_replica) {
  // Expert 0 cut 1 | 3: its 100 tokens travel twice. Expert 1 replicated half and half.
  // FLOPs: rank 0: 100*1 + 25*6 = 250, rank 1: 100*3 + 25*6 = 450. Rows 100*2 + 50 of 150.
  // Bytes in rows of 18: rank 0: 1 + 6 (owner) = 7, rank 1: 3 + 6 * 6/18 = 5; mean (4 + 6) / 2 = 5.
  PlanProblem problem = two_layers();
  problem.layers.pop_back();
  problem.tolerance = 0.5;
  const Plan plan =
      evaluate(problem, {{{{{0, 0, 0, 1}, {0, 1, 1, 4}, {1, 0, 0, 6, 0.5}, {1, 1, 0, 6, 0.5}}}}});
  EXPECT_DOUBLE_EQ(plan.layers[0].flops_max_over_mean, 450.0 / 350.0);
  EXPECT_DOUBLE_EQ(plan.layers[0].traffic_ratio, 250.0 / 150.0);
  EXPECT_DOUBLE_EQ(plan.memory_max_over_mean, 7.0 / 5.0);
  EXPECT_EQ(plan.bound_by, "memory");
}

}  // namespace
}  // namespace hetmoe
