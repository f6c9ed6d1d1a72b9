#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tests/support/gradient_check.h"
#include "tests/support/mpi_world.h"
#include "tests/support/one_rank.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

RunConfig with_hyper(int top_k, HyperConfig hyper = {}) {
  RunConfig config = small_training();
  config.model.router.top_k = top_k;
  hyper.enabled = true;
  hyper.rank = 3;
  hyper.hidden = 6;
  hyper.embedding = 5;
  hyper.process = 4;
  hyper.input = 4;
  hyper.layer_embedding = 2;
  config.model.hyper = hyper;
  return config;
}

RunConfig with_microbatches(RunConfig config) {
  config.train.global_batch = 6;
  config.train.microbatches = 3;  // two sequences each: ranks beyond the second have none
  return config;
}

RunConfig with_top_p(RunConfig config) {
  config.model.router.kind = RouterKind::kTopP;
  config.model.router.top_p = 0.7;
  return config;
}

/// The small expert begins so near to zero that its gradients would vanish in the comparison;
/// biases of the hypernetwork keep
/// its units active.
void take_larger_values(ParameterStore& parameters) {
  for (const TensorSpec& spec : parameters.dense_specs()) {
    if (spec.name.find("hyper") == std::string::npos) continue;
    at::Tensor value = parameters.dense(spec.name).value;
    value.copy_(test_values(spec.name.c_str(), value.sizes(), 0.2));
    if (spec.name.ends_with("process.bias") || spec.name.ends_with("hidden.bias")) value.add_(0.5);
  }
}

/// Two neighbouring ranks on each pretended node.
RunConfig on_nodes_of_two(RunConfig config) {
  config.topology.ranks_per_node = 2;
  return config;
}

struct HyperCase {
  const char* name;
  RunConfig config;
};

class HyperStepCases : public testing::TestWithParam<HyperCase> {};

TEST_P(HyperStepCases, GivesTheLossAndGradientsOfOneRank) {
  const RunConfig& config = GetParam().config;
  Communicator& world = test_world();
  TrainingWorld training(config, world, cut_placement(config.model, world.size()));
  OneRank expected(config);
  take_larger_values(training.parameters());
  take_larger_values(expected.parameters());
  const StepOutcome outcome = training.step(1);
  const StepOutcome expected_outcome = expected.step(1);
  expect_same_outcome(outcome, expected_outcome);
  expect_same_gradients(training.ownership(), expected, expected_outcome.grad_norm);
}

INSTANTIATE_TEST_SUITE_P(
    Configurations, HyperStepCases,
    testing::Values(
        HyperCase{"two_hops", on_nodes_of_two(with_hyper(2))}, HyperCase{"top_1", with_hyper(1)},
        HyperCase{"top_2", with_hyper(2)},
        HyperCase{"microbatches", with_microbatches(with_hyper(2))},
        HyperCase{"factorised", with_hyper(2, {.memory_limit = 1})},
        HyperCase{"top_p", with_top_p(with_hyper(2))},
        HyperCase{"gated", with_hyper(2, {.gated = true})},
        HyperCase{"shared_adapter",
                  with_microbatches(with_hyper(2, {.kind = HyperKind::kSharedAdapter}))},
        HyperCase{"expert_adapters", with_hyper(2, {.kind = HyperKind::kExpertAdapters})}),
    [](const auto& instance) { return instance.param.name; });

std::vector<char> bytes_of(const at::Tensor& tensor) {
  std::vector<char> bytes(static_cast<std::size_t>(tensor.nbytes()));
  std::memcpy(bytes.data(), tensor.const_data_ptr(), bytes.size());
  return bytes;
}

class HyperReplicas : public testing::TestWithParam<Precision> {};

TEST_P(HyperReplicas, HaveTheSameBitsAfterFiftySteps) {
  RunConfig config = with_microbatches(with_hyper(2));
  config.train.precision = GetParam();
  Communicator& world = test_world();
  TrainingWorld training(config, world, cut_placement(config.model, world.size()));
  const std::vector<char> first = bytes_of(training.parameters().dense_values());
  for (int step = 1; step <= 50; ++step) ASSERT_FALSE(training.step(step).skipped);
  const std::vector<char> own = bytes_of(training.parameters().dense_values());
  EXPECT_NE(own, first);
  std::vector<char> of_rank_0 = own;
  world.broadcast(buffer_of(std::span<char>(of_rank_0)), 0).wait();
  EXPECT_EQ(own, of_rank_0);
}

INSTANTIATE_TEST_SUITE_P(Precisions, HyperReplicas,
                         testing::Values(Precision::kFp32, Precision::kBf16),
                         [](const auto& precision) {
                           return precision.param == Precision::kFp32 ? "fp32" : "bf16";
                         });

}  // namespace
}  // namespace hetmoe::test
