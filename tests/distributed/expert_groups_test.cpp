#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "runtime/trainer/initial_plan.h"
#include "tests/support/mpi_world.h"
#include "tests/support/one_rank.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

/// Sizes of the expert groups into which the world can be cut.
std::vector<int> group_sizes(const Communicator& world) {
  std::vector<int> sizes;
  for (int size = 1; size <= world.size(); ++size) {
    if (world.size() % size == 0) sizes.push_back(size);
  }
  return sizes;
}

RunConfig in_groups(RunConfig config, int size) {
  config.parallel.expert_group_size = size;
  return config;
}

struct PlacementCase {
  const char* name;
  Placement (*placement)(const ModelConfig& model, int ranks);
};

class ExpertGroupCases : public testing::TestWithParam<PlacementCase> {};

TEST_P(ExpertGroupCases, OfAnySizeGiveTheLossesAndGradientsOfOneRank) {
  const RunConfig config = small_training();
  Communicator& world = test_world();
  for (const int size : group_sizes(world)) {
    SCOPED_TRACE("groups of " + std::to_string(size));
    TrainingWorld training(in_groups(config, size), world,
                           GetParam().placement(config.model, size));
    OneRank expected(config);
    for (int step = 1; step <= 3; ++step) {
      const StepOutcome outcome = training.step(step);
      const StepOutcome expected_outcome = expected.step(step);
      expect_same_outcome(outcome, expected_outcome);
      // AdamW divides by the gradient's size: from the second step on rounding is amplified.
      if (step == 1)
        expect_same_gradients(training.ownership(), expected, expected_outcome.grad_norm);
    }
  }
}

TEST_P(ExpertGroupCases, TrainOnAfterSlicesHaveMovedInAllGroups) {
  const RunConfig config = small_training();
  Communicator& world = test_world();
  for (const int size : group_sizes(world)) {
    if (size == 1) continue;
    SCOPED_TRACE("groups of " + std::to_string(size));
    TrainingWorld training(in_groups(config, size), world,
                           GetParam().placement(config.model, size));
    OneRank expected(config);
    for (int step = 1; step <= 4; ++step) {
      expect_same_outcome(training.step(step), expected.step(step));
      if (step == 2) training.migrate(whole_placement(config.model));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Placements, ExpertGroupCases,
                         testing::Values(PlacementCase{"cut", cut_placement},
                                         PlacementCase{"replicated", replicated_placement}),
                         [](const auto& instance) { return instance.param.name; });

/// Of the busiest of `ranks` under this load, over the mean.
double busiest_over_mean(const StepOutcome& outcome, const Placement& placement, int ranks) {
  double largest = 0, all = 0;
  for (std::size_t layer = 0; layer < outcome.load.size(); ++layer) {
    std::vector<double> work(static_cast<std::size_t>(ranks), 0.0);
    for (const PlacedSlice& slice : placement.layers[layer].slices) {
      const auto tokens = static_cast<double>(outcome.load[layer][slice.expert]);
      work[slice.rank] += tokens * static_cast<double>(slice.width());
      all += tokens * static_cast<double>(slice.width());
    }
    largest += *std::max_element(work.begin(), work.end());
  }
  return largest * ranks / all;
}

TEST(ExpertGroups, OnlyOneOfWhichHasTokensAreAsUnevenAsTheyAreMany) {
  RunConfig config = small_training();
  Communicator& world = test_world();
  config.train.source_weights.assign(static_cast<std::size_t>(world.size()), 0);
  config.train.source_weights[0] = 1;
  for (const int size : group_sizes(world)) {
    const Placement placement = cut_placement(config.model, size);
    TrainingWorld training(in_groups(config, size), world, placement);
    const StepOutcome outcome = training.step(1);
    const int groups = world.size() / size;
    EXPECT_NEAR(outcome.flops_max_over_mean, groups * busiest_over_mean(outcome, placement, size),
                1e-12)
        << "groups of " << size;
  }
}

TEST(ExpertGroups, MustDivideTheWorld) {
  const RunConfig config = in_groups(small_training(), 2);
  EXPECT_EQ(configured_groups(config, 6).count, 3);
  EXPECT_EQ(configured_groups(config, 6).size, 2);
  EXPECT_EQ(configured_groups(small_training(), 6).count, 1);
  try {
    configured_groups(config, 3);
    ADD_FAILURE() << "was not refused";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "parallel.expert_group_size: value 2, allowed: 0 or a divisor of the 3 ranks");
  }
}

}  // namespace
}  // namespace hetmoe::test
