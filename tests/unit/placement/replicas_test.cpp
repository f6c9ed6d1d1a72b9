#include "parallel/placement/replicas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "parallel/placement/cost.h"
#include "parallel/placement/validation.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;

/// Two experts of 90 and 60 rows on three ranks, both cut.
PlanProblem small_problem() {
  PlanProblem problem{.hidden_size = 4, .ranks = 3, .granularity = 10, .replicas = 10};
  problem.layers = {{.widths = {90, 60}, .tokens = {1000, 5000}}};
  return problem;
}

const LayerPlacement kCut{{{0, 2, 0, 30}, {0, 0, 30, 90}, {1, 1, 0, 40}, {1, 2, 40, 60}}};

TEST(Replicas, TakeThePlaceOfPiecesWithTheSameWork) {
  const PlanProblem problem = small_problem();
  const LayerPlacement copied = with_replicas(problem, 0, kCut, {1000, 1000, 1000});
  EXPECT_THAT(
      copied.slices,
      ElementsAre(PlacedSlice{0, 0, 0, 90, 60.0 / 90}, PlacedSlice{0, 2, 0, 90, 30.0 / 90},
                  PlacedSlice{1, 1, 0, 60, 40.0 / 60}, PlacedSlice{1, 2, 0, 60, 20.0 / 60}));
  const Plan cut = evaluate(problem, {{kCut}}), with = evaluate(problem, {{copied}});
  EXPECT_NEAR(with.layers[0].flops_max_over_mean, cut.layers[0].flops_max_over_mean, 1e-12);
  EXPECT_NEAR(cut.layers[0].traffic_ratio, 2.0, 1e-12);
  EXPECT_NEAR(with.layers[0].traffic_ratio, 1.0, 1e-12);
}

TEST(Replicas, CountForLessWhereTheyAreNotOwned) {
  // 6 of 18 bytes: a third of the rows.
  const LayerPlacement copied{{{0, 0, 0, 90, 0.5}, {0, 2, 0, 90, 0.5}, {1, 1, 0, 60}}};
  EXPECT_THAT(counted_rows(small_problem(), copied), ElementsAre(90, 60, 30));
}

TEST(Replicas, StopAtTheNumberAllowedAndServeTheHottestFirst) {
  PlanProblem problem = small_problem();
  problem.replicas = 1;
  const LayerPlacement copied = with_replicas(problem, 0, kCut, {1000, 1000, 1000});
  EXPECT_THAT(copied.slices, ElementsAre(PlacedSlice{0, 2, 0, 30}, PlacedSlice{0, 0, 30, 90},
                                         PlacedSlice{1, 1, 0, 60, 40.0 / 60},
                                         PlacedSlice{1, 2, 0, 60, 20.0 / 60}));
  problem.replicas = 0;
  EXPECT_EQ(with_replicas(problem, 0, kCut, {1000, 1000, 1000}), kCut);
}

TEST(Replicas, MustSaveMoreBytesThanTheyCost) {
  // A token's row is 2 bytes a value, four times; a replica's row 3 * 6: 60 rows pay from 136
  // tokens.
  PlanProblem problem = small_problem();
  problem.layers[0].tokens = {1, 135};
  EXPECT_EQ(with_replicas(problem, 0, kCut, {1000, 1000, 1000}), kCut);
  problem.layers[0].tokens = {1, 136};
  EXPECT_EQ(with_replicas(problem, 0, kCut, {1000, 1000, 1000}).slices.back().share, 20.0 / 60);
}

TEST(Replicas, NeedRoom) {
  // Expert 1 whole on rank 1 takes 60 rows, and 20 on rank 2; expert 0 then 90 on rank 0.
  const PlanProblem problem = small_problem();
  EXPECT_EQ(with_replicas(problem, 0, kCut, {60, 59, 50}), kCut);
  const LayerPlacement one = with_replicas(problem, 0, kCut, {60, 60, 50});
  EXPECT_EQ(one.slices[2].share, 40.0 / 60);
  EXPECT_EQ(one.slices[0].share, 1.0);
}

TEST(Replicas, PlansOfRandomProblemsAreValidKeepTheCapAndMoveNothingWhenPlannedAgain) {
  std::mt19937 random(4);
  int with_copies = 0;
  for (int trial = 0; trial < 60; ++trial) {
    PlanProblem problem{.hidden_size = 8, .ranks = 2 + static_cast<int>(random() % 5)};
    problem.granularity = 8;
    problem.memory_cap_ratio = 1.1 + 0.1 * static_cast<double>(random() % 20);
    problem.replicas = static_cast<std::int64_t>(random() % 6);
    for (int layer = 0; layer < 3; ++layer) {
      PlanLayer& one = problem.layers.emplace_back();
      for (int expert = 0; expert < 6; ++expert) {
        one.widths.push_back(16 + static_cast<std::int64_t>(random() % 200));
        one.tokens.push_back(static_cast<std::int64_t>(random() % 100000));
      }
    }
    const Plan planned = plan(problem, PlanStrategy::kSlices);
    std::vector<std::vector<std::int64_t>> widths;
    for (const PlanLayer& layer : problem.layers) widths.push_back(layer.widths);
    validate_placement(planned.placement, widths, problem.ranks);
    EXPECT_FALSE(missed_cap(problem, planned)) << trial;
    for (const LayerPlacement& layer : planned.placement.layers) {
      std::int64_t copies = -6;
      for (const PlacedSlice& slice : layer.slices) copies += slice.begin == 0 ? 1 : 0;
      EXPECT_LE(copies, problem.replicas);
      with_copies += copies > 0 ? 1 : 0;
    }
    problem.current = planned.placement;
    EXPECT_EQ(plan(problem, PlanStrategy::kSlices).placement, planned.placement) << trial;
  }
  EXPECT_GT(with_copies, 10);
}

}  // namespace
}  // namespace hetmoe
