#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "core/model/initial_values.h"
#include "core/model/workload.h"
#include "parallel/agreement.h"
#include "tests/support/mpi_world.h"
#include "tests/support/one_rank.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

RunConfig with_top_p(RunConfig config) {
  config.model.router.kind = RouterKind::kTopP;
  config.model.router.top_p = 0.7;
  return config;
}

RunConfig with_released_penalty(RunConfig config) {
  config.model.router.penalty_form = PenaltyForm::kReleasedCode;
  config.model.router.renormalize = Renormalize::kFalse;
  return config;
}

RunConfig with_microbatches(RunConfig config) {
  config.train.global_batch = 6;
  config.train.microbatches = 3;  // two sequences each: ranks beyond the second have none
  return config;
}

RunConfig tied(RunConfig config) {
  config.model.tie_embeddings = true;
  return config;
}

RunConfig forced(const char* workload, RunConfig config) {
  config.model.router.forced = workload;
  return config;
}

/// Two neighbouring ranks on each pretended node; the last one has one rank where they are odd.
RunConfig on_nodes_of_two(RunConfig config) {
  config.topology.ranks_per_node = 2;
  return config;
}

struct StepCase {
  const char* name;
  RunConfig config;
};

class TrainingStepCases : public testing::TestWithParam<StepCase> {};

TEST_P(TrainingStepCases, GivesTheLossAndGradientsOfOneRank) {
  const RunConfig& config = GetParam().config;
  Communicator& world = test_world();
  TrainingWorld training(config, world, cut_placement(config.model, world.size()));
  OneRank expected(config);
  const StepOutcome outcome = training.step(1);
  const StepOutcome expected_outcome = expected.step(1);
  expect_same_outcome(outcome, expected_outcome);
  expect_same_gradients(training.ownership(), expected, expected_outcome.grad_norm);
}

INSTANTIATE_TEST_SUITE_P(
    Configurations, TrainingStepCases,
    testing::Values(StepCase{"ragged", small_training()},
                    StepCase{"top_p", with_top_p(small_training())},
                    StepCase{"released", with_released_penalty(small_training())},
                    StepCase{"microbatches", with_microbatches(small_training())},
                    StepCase{"tied", tied(small_training())},
                    StepCase{"two_hops", on_nodes_of_two(small_training())},
                    StepCase{"two_hops_top_p", on_nodes_of_two(with_top_p(small_training()))},
                    StepCase{"two_hops_microbatches",
                             on_nodes_of_two(with_microbatches(small_training()))},
                    StepCase{"forced_spread", forced("W3", small_training())},
                    StepCase{"forced_ragged", forced("W4", with_microbatches(small_training()))}),
    [](const auto& instance) { return instance.param.name; });

/// 1, 3, 0, 1, 3, 0, ...: the first rank has some.
std::vector<std::int64_t> uneven_weights(int ranks) {
  std::vector<std::int64_t> weights;
  for (int rank = 0; rank < ranks; ++rank) weights.push_back(std::array{1, 3, 0}[rank % 3]);
  return weights;
}

TEST(SourceWeights, ChangeWhoReadsAndNotTheResult) {
  const RunConfig even = small_training();
  RunConfig uneven = even;
  Communicator& world = test_world();
  uneven.train.source_weights = uneven_weights(world.size());
  TrainingWorld training(uneven, world, cut_placement(even.model, world.size()));
  OneRank expected(even);
  const StepOutcome expected_outcome = expected.step(1);
  expect_same_outcome(training.step(1), expected_outcome);
  expect_same_gradients(training.ownership(), expected, expected_outcome.grad_norm);
}

TEST(SourceWeights, OfAnotherNumberOfRanksAreRefusedByAll) {
  RunConfig config = small_training();
  Communicator& world = test_world();
  config.train.source_weights = uneven_weights(world.size() + 1);
  EXPECT_THROW(TrainingWorld(config, world, cut_placement(config.model, world.size())),
               AgreedError);
}

class ForcedRouting : public testing::TestWithParam<const char*> {};

TEST_P(ForcedRouting, GivesTheLoadsOfTheWorkloadAndTheLossOfOneRank) {
  const RunConfig config = forced(GetParam(), with_microbatches(small_training()));
  const int layers = config.model.num_layers;
  const Workload workload(workload_of(GetParam()), 4, 2, config.train.seed);
  Communicator& world = test_world();
  for (const std::int64_t step : {1, 11, 12}) {
    TrainingWorld training(config, world, cut_placement(config.model, world.size()));
    OneRank expected(config);
    std::vector<std::vector<std::int64_t>> load(layers, std::vector<std::int64_t>(4, 0));
    for (int layer = 0; layer < layers; ++layer) {
      for (int token = 0; token < 6 * 6; ++token) {
        std::array<std::int32_t, 2> experts = {};
        workload.select(layer, step, token, experts);
        for (const std::int32_t expert : experts) ++load[layer][expert];
      }
    }
    const StepOutcome outcome = training.step(step);
    EXPECT_EQ(outcome.load, load) << "step " << step;
    expect_same_outcome(outcome, expected.step(step));
  }
}

INSTANTIATE_TEST_SUITE_P(Workloads, ForcedRouting,
                         testing::Values("W0", "W1", "W2", "W3", "W4", "W5", "W6", "W7"),
                         [](const auto& workload) { return workload.param; });

TEST(TrainingStep, EveryRowOfEveryParameterHasExactlyOneOwner) {
  const RunConfig config = small_training();
  Communicator& world = test_world();
  TrainingWorld training(config, world, cut_placement(config.model, world.size()));
  std::int64_t next = 0;
  std::map<std::string, std::int64_t> offset;
  auto specs = dense_tensor_specs(config.model);
  for (int layer = 0; layer < config.model.num_layers; ++layer) {
    for (int e = 0; e < config.model.experts.count; ++e) {
      for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
        specs.push_back({expert_tensor_name(layer, e, static_cast<ExpertMatrix>(matrix)),
                         config.model.experts.widths[e], config.model.hidden_size});
      }
    }
  }
  for (const TensorSpec& spec : specs) {
    offset[spec.name] = next;
    next += spec.rows;
  }
  std::vector<double> count(static_cast<std::size_t>(next), 0.0);
  for (const OwnedRows& rows : training.ownership().owned()) {
    for (std::int64_t row = rows.row_begin; row < rows.row_end; ++row) {
      count[offset.at(rows.name) + row] += 1;
    }
  }
  world.all_reduce(buffer_of(std::span<double>(count)), Reduction::kSum).wait();
  EXPECT_EQ(std::count(count.begin(), count.end(), 1.0), next);
}

TEST_P(TrainingStepCases, GivesTheSameWithReplicas) {
  const RunConfig& config = GetParam().config;
  Communicator& world = test_world();
  TrainingWorld training(config, world, replicated_placement(config.model, world.size()));
  OneRank expected(config);
  for (int step = 1; step <= 3; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    const StepOutcome outcome = training.step(step);
    const StepOutcome expected_outcome = expected.step(step);
    expect_same_outcome(outcome, expected_outcome);
    // AdamW makes differences of rounding larger: where a gradient is near 0, its sign moves a
    // weight.
    if (step == 3) continue;
    expect_same_gradients(training.ownership(), expected, expected_outcome.grad_norm);
  }
}

/// The first update of AdamW from the gradients that were found: moments start at 0, so that
/// m / (1 - b1) = g and v / (1 - b2) = g^2.
void expect_first_update(const RunConfig& config, const TrainingWorld& training, double scale) {
  const TrainConfig& train = config.train;
  for (const OwnedRows& rows : training.ownership().owned()) {
    std::vector<float> start(static_cast<std::size_t>(rows.master.numel()));
    initial_rows(train.seed, rows.name, rows.initial, rows.row_begin, rows.columns, start);
    const double decay = rows.is_matrix ? train.weight_decay : 0;
    const auto* gradient = rows.gradient.const_data_ptr<float>();
    const auto* master = rows.master.const_data_ptr<float>();
    const auto* exp_avg = rows.exp_avg.const_data_ptr<float>();
    for (std::size_t i = 0; i < start.size(); ++i) {
      const double g = gradient[i] * scale;
      ASSERT_NEAR(exp_avg[i], (1 - train.beta1) * g, 1e-6 * std::abs(g) + 1e-12) << rows.name;
      const double moved = g / (std::abs(g) + train.adam_epsilon) + decay * start[i];
      ASSERT_NEAR(master[i], start[i] - train.learning_rate * moved, 1e-5) << rows.name;
    }
  }
}

TEST(TrainingStep, ClipsByTheNormOverAllRanks) {
  RunConfig config = small_training();
  Communicator& world = test_world();
  OneRank expected(config);
  const double norm = expected.step(1).grad_norm;
  for (const double clip : {0.0, norm / 4, norm * 4}) {
    config.train.clip_norm = clip;
    TrainingWorld training(config, world, cut_placement(config.model, world.size()));
    const StepOutcome outcome = training.step(1);
    EXPECT_NEAR(outcome.grad_norm, norm, 1e-5 * norm) << "the norm is that before clipping";
    const bool clips = clip > 0 && clip < norm;
    expect_first_update(config, training, clips ? clip / outcome.grad_norm : 1.0);
  }
}

std::vector<char> bytes_of(const at::Tensor& tensor) {
  std::vector<char> bytes(static_cast<std::size_t>(tensor.nbytes()));
  std::memcpy(bytes.data(), tensor.const_data_ptr(), bytes.size());
  return bytes;
}

/// Every value that a rank computes with.
std::vector<char> bytes_of(ParameterStore& store) {
  std::vector<char> bytes = bytes_of(store.dense_values());
  for (int layer = 0; layer < store.num_layers(); ++layer) {
    const std::vector<char> more = bytes_of(store.slice_values(layer));
    bytes.insert(bytes.end(), more.begin(), more.end());
  }
  return bytes;
}

TEST(TrainingStep, ANanOnOneRankIsSkippedByAllTogether) {
  const RunConfig config = small_training();
  Communicator& world = test_world();
  for (int faulty = 0; faulty < world.size(); ++faulty) {
    TrainingWorld training(config, world, cut_placement(config.model, world.size()));
    at::Tensor norm = training.parameters().dense("layers.1.experts_norm").value;
    if (world.rank() == faulty) norm[0] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<char> before = bytes_of(training.parameters());
    const std::int64_t sent = training.ownership().update_bytes().parameters;
    const StepOutcome outcome = training.step(1);
    EXPECT_TRUE(outcome.skipped) << "NaN on rank " << faulty;
    EXPECT_EQ(training.ownership().update_bytes().parameters, sent)
        << "a skipped step sends nothing";
    EXPECT_EQ(bytes_of(training.parameters()), before);
    EXPECT_EQ(training.training().updates(), 0);
    for (const OwnedRows& rows : training.ownership().owned()) {
      EXPECT_EQ(rows.exp_avg.abs().max().item<float>(), 0.0F) << rows.name;
      EXPECT_EQ(rows.exp_avg_sq.abs().max().item<float>(), 0.0F) << rows.name;
    }
    if (world.rank() == faulty) norm[0] = 1.0F;
    EXPECT_FALSE(training.step(2).skipped);
    EXPECT_EQ(training.training().updates(), 1);
  }
}

TEST(TrainingStep, AnInfinityInOneRanksExpertsIsSkippedByAllTogether) {
  const RunConfig config = small_training();
  Communicator& world = test_world();
  TrainingWorld training(config, world, cut_placement(config.model, world.size()));
  if (world.rank() + 1 == world.size()) {
    ASSERT_FALSE(training.parameters().layer_weights(0).empty());
    for (SliceWeights& slice : training.parameters().layer_weights(0)) {
      slice.down.fill_(std::numeric_limits<float>::infinity());
    }
  }
  const std::vector<char> before = bytes_of(training.parameters());
  EXPECT_TRUE(training.step(1).skipped);
  EXPECT_EQ(bytes_of(training.parameters()), before);
}

class ParametersAfterFiveSteps : public testing::TestWithParam<Precision> {};

TEST_P(ParametersAfterFiveSteps, HaveTheSameBitsOnAllRanksAndTheLossOfOneRank) {
  RunConfig config = small_training();
  config.train.precision = GetParam();
  config.train.clip_norm = 1.0;
  Communicator& world = test_world();
  TrainingWorld training(config, world, cut_placement(config.model, world.size()));
  OneRank expected(config);
  const double tolerance = GetParam() == Precision::kFp32 ? 1e-4 : 3e-2;
  for (int step = 1; step <= 5; ++step) {
    const StepOutcome outcome = training.step(step);
    EXPECT_NEAR(outcome.loss, expected.step(step).loss, tolerance) << "step " << step;
  }
  ParameterStore& store = training.parameters();
  const std::vector<char> own = bytes_of(store.dense_values());
  std::vector<char> first = own;
  world.broadcast(buffer_of(std::span<char>(first)), 0).wait();
  EXPECT_EQ(own, first);
  for (const OwnedRows& rows : training.ownership().owned()) {
    EXPECT_TRUE(rows.copy.equal(rows.master.to(rows.copy.scalar_type()))) << rows.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, ParametersAfterFiveSteps,
                         testing::Values(Precision::kFp32, Precision::kBf16),
                         [](const auto& precision) {
                           return precision.param == Precision::kFp32 ? "fp32" : "bf16";
                         });

}  // namespace
}  // namespace hetmoe::test
