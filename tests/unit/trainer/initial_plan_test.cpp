#include "runtime/trainer/initial_plan.h"

#include <gtest/gtest.h>

namespace hetmoe {
namespace {

PlanProblem two_layers_of_three() {
  PlanProblem problem;
  problem.layers.assign(2, {.widths = {2, 4, 6}, .tokens = {0, 0, 0}});
  return problem;
}

Loads loads_of(const PlanProblem& problem) {
  Loads loads;
  for (const PlanLayer& layer : problem.layers) loads.push_back(layer.tokens);
  return loads;
}

TEST(TakeLoads, GivesEachGroupItsPart) {
  PlanProblem problem = two_layers_of_three();
  take_loads({{6, 0, 9}, {3, 30, 1}}, 3, problem);
  EXPECT_EQ(loads_of(problem), (Loads{{2, 0, 3}, {1, 10, 0}}));
}

TEST(TakeLoads, LeavesTheProblemAloneWithThoseOfAnotherModel) {
  const std::vector<Loads> others = {{},
                                     {{6, 0, 9}},
                                     {{6, 0, 9}, {3, 30}},
                                     {{6, 0, 9}, {3, 30, 1}, {3, 30, 1}},
                                     {{6, 0, 9}, {3, -1, 1}}};
  for (const Loads& loads : others) {
    PlanProblem problem = two_layers_of_three();
    take_loads(loads, 1, problem);
    EXPECT_EQ(loads_of(problem), loads_of(two_layers_of_three()));
  }
}

}  // namespace
}  // namespace hetmoe
