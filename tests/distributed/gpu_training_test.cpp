// Whole training steps on GPUs beside one rank on a CPU.
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>
#include <observed_device.h>

#include <algorithm>

#include "core/tensor/device.h"
#include "tests/distributed/owned_values.h"
#include "tests/support/mpi_world.h"
#include "tests/support/one_rank.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

constexpr double kTimeoutSeconds = 60;

RunConfig with_microbatches(RunConfig config) {
  config.train.global_batch = 6;
  config.train.microbatches = 3;  // two sequences each: ranks beyond the second have none
  return config;
}

RunConfig with_small_expert(RunConfig config) {
  config.model.hyper.enabled = true;
  config.model.hyper.rank = 3;
  config.model.hyper.hidden = 5;
  config.model.hyper.input = 4;
  return config;
}

RunConfig with_top_p(RunConfig config) {
  config.model.router.kind = RouterKind::kTopP;
  config.model.router.top_p = 0.7;
  return config;
}

RunConfig with_recompute(RunConfig config) {
  config.train.recompute = Recompute::kBlock;
  return config;
}

struct StepCase {
  const char* name;
  RunConfig config;
  bool replicated = false;
};

Placement placement_of(const StepCase& c, int ranks) {
  return c.replicated ? replicated_placement(c.config.model, ranks)
                      : cut_placement(c.config.model, ranks);
}

class GpuSteps : public testing::TestWithParam<StepCase> {};

TEST_P(GpuSteps, give_the_losses_and_gradients_of_one_rank_on_a_cpu) {
  const RunConfig& config = GetParam().config;
  Communicator& world = test_world();
  DeviceGroups devices(kTimeoutSeconds);
  TrainingWorld training(config, world, placement_of(GetParam(), world.size()), devices);
  OneRank expected(config);
  for (int step = 1; step <= 3; ++step) {
    const StepOutcome outcome = training.step(step);
    const StepOutcome expected_outcome = expected.step(step);
    expect_same_outcome(outcome, expected_outcome);
    if (step > 1) continue;  // the update clips gradients where they lie
    expect_same_gradients(training.ownership(), expected, expected_outcome.grad_norm);
  }
  world.barrier();
}

INSTANTIATE_TEST_SUITE_P(
    Configurations, GpuSteps,
    testing::Values(StepCase{"ragged", small_training()},
                    StepCase{"top_p", with_top_p(small_training())},
                    StepCase{"microbatches", with_microbatches(small_training())},
                    StepCase{"small_expert", with_small_expert(small_training())},
                    StepCase{
                        "recomputed",
                        with_recompute(with_small_expert(with_microbatches(small_training())))},
                    StepCase{"replicated", small_training(), true}),
    [](const auto& instance) { return instance.param.name; });

TEST(GpuStep, the_host_waits_once_for_the_split_sizes_of_each_layer_and_once_for_the_verdict) {
  if (!kIsObserved) GTEST_SKIP() << "nobody counts waits here";
  const RunConfig config = with_microbatches(small_training());
  Communicator& world = test_world();
  DeviceGroups devices(kTimeoutSeconds);
  TrainingWorld training(config, world, cut_placement(config.model, world.size()), devices);
  training.step(1);  // what is made once, and memory that has grown
  const std::uint64_t before = host_waits_so_far();
  training.step(2);
  const auto layers = static_cast<std::uint64_t>(config.model.num_layers);
  EXPECT_EQ(host_waits_so_far() - before, 3 * layers + 1);
  world.barrier();
}

TEST(GpuStep, phases_are_measured_on_the_gpu_and_none_is_lost) {
  const RunConfig config = with_microbatches(small_training());
  Communicator& world = test_world();
  DeviceGroups devices(kTimeoutSeconds);
  TrainingWorld training(config, world, cut_placement(config.model, world.size()), devices);
  const PhaseSeconds first = training.step(1).seconds;
  const PhaseSeconds second = training.step(2).seconds;
  for (const PhaseSeconds& seconds : {first, second}) {
    EXPECT_GT(seconds.forward, 0);
    EXPECT_GT(seconds.expert, 0);
    EXPECT_GT(seconds.backward, 0);
    EXPECT_GE(seconds.dispatch_wait, 0);
    EXPECT_GE(seconds.combine_wait, 0);
  }
  EXPECT_GT(first.optimizer + second.optimizer, 0);
  world.barrier();
}

TEST(GpuStep, a_step_that_is_not_finite_is_skipped_by_all) {
  const RunConfig config = small_training();
  Communicator& world = test_world();
  DeviceGroups devices(kTimeoutSeconds);
  TrainingWorld training(config, world, cut_placement(config.model, world.size()), devices);
  training.step(1);
  const Values before = values_of_owners(config, training.ownership(), world);
  at::Tensor head = training.parameters().dense("final_norm").value;
  const at::Tensor kept = head.clone();
  head.fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(training.step(2).skipped);
  head.copy_(kept);
  EXPECT_EQ(values_of_owners(config, training.ownership(), world), before);
  EXPECT_EQ(training.training().updates(), 1);
  EXPECT_FALSE(training.step(3).skipped);
  world.barrier();
}

TEST(GpuMigration, a_run_whose_slices_move_goes_on_as_if_they_had_not) {
  Communicator& world = test_world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  const RunConfig config = small_training();
  DeviceGroups devices(kTimeoutSeconds);
  TrainingWorld moving(config, world, cut_placement(config.model, world.size()), devices);
  TrainingWorld staying(config, world, cut_placement(config.model, world.size()));
  for (int step = 1; step <= 4; ++step) {
    if (step == 3) moving.migrate(whole_placement(config.model));
    expect_same_outcome(moving.step(step), staying.step(step));
  }
  const Values moved = values_of_owners(config, moving.ownership(), world);
  for (const auto& [name, values] : values_of_owners(config, staying.ownership(), world)) {
    double largest = 0;
    for (const double value : values) largest = std::max(largest, std::abs(value));
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(moved.at(name)[i], values[i], 1e-4 * largest + 1e-7) << name << " " << i;
    }
  }
  world.barrier();
}

}  // namespace
}  // namespace hetmoe::test
