#include "runtime/report/plan_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "parallel/placement/cost.h"
#include "tests/support/small_cluster.h"

namespace hetmoe {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

/// 1000 tokens for 4 hidden units on rank 0, 500 for 6 on rank 1.
PlanProblem two_experts() {
  PlanProblem problem;
  problem.hidden_size = 10;
  problem.ranks = 2;
  problem.memory_cap_ratio = 2;
  problem.layers = {{{4, 6}, {1000, 500}}};
  return problem;
}

std::string text_of(const PlanProblem& problem) {
  const Plan plan = evaluate(problem, {{{{{0, 0, 0, 4}, {1, 1, 0, 6}}}}});
  return plan_text(problem, plan, std::vector<NamedPlan>{{"whole", plan}});
}

TEST(PlanText, FlopsRowsAndMemoryOfEveryRank) {
  // 18 x 10 x 4000 = 720 k FLOPs and 540 k; rows in 500 and 250, out 250 and 500.
  // 4 and 6 x 30 parameters x 18 bytes of a cap of 2 x 2700.
  const std::string text = text_of(two_experts());
  EXPECT_THAT(text, ContainsRegex("0 +720 k +1\\.143 +500 +250 +2.11 KiB +40\\.0 % +1 \\(0\\)"));
  EXPECT_THAT(text, ContainsRegex("1 +540 k +0\\.857 +250 +500 +3.16 KiB +60\\.0 % +1 \\(0\\)"));
  EXPECT_THAT(text, ContainsRegex("whole +1\\.143 +1\\.143 +1\\.000 +1\\.200 +compute\n"));
  EXPECT_THAT(text, Not(HasSubstr("experts per step")));
}

TEST(PlanText, WithoutALoadPartsOfAWhole) {
  PlanProblem problem = two_experts();
  problem.layers[0].tokens = {0, 0};
  EXPECT_THAT(text_of(problem), ContainsRegex("0 +40\\.0 % +0\\.800 +25\\.0 % +25\\.0 %"));
}

TEST(PlanText, WithAClusterSecondsAndWhatBinds) {
  PlanProblem problem = two_experts();
  problem.cluster = small_cluster(1e-8);
  const std::string text = text_of(problem);
  // 3e-8 x 10 x 4000 s and x 3000; 500 rows of 104 bytes at 1 GB/s and seven calls of 1 us.
  EXPECT_THAT(text, ContainsRegex("\\(0\\) +1\\.20 ms +59 us\n"));
  EXPECT_THAT(text, ContainsRegex("\\(0\\) +900 us +59 us\n"));
  EXPECT_THAT(text, HasSubstr("1.26 ms = products 1.20 ms + exchange 59 us + fixed 1 us"));
  EXPECT_THAT(text, ContainsRegex("this plan .*compute +1\\.26 ms\n"));
}

TEST(PlanText, FitsAHundredColumns) {
  PlanProblem problem = two_experts();
  problem.layers.assign(200, {{1 << 14, 1 << 13}, {1 << 24, 1 << 22}});
  problem.cluster = small_cluster(1e-15);
  const Plan wide = plan(problem, PlanStrategy::kSlices);
  std::istringstream lines(plan_text(problem, wide, std::vector<NamedPlan>{{"contiguous", wide}}));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100U) << line;
}

}  // namespace
}  // namespace hetmoe
