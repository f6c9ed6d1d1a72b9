#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "tests/support/mpi_world.h"
#include "tests/support/replicated_training.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

/// Where the rows of every tensor lie in one vector of the whole model.
std::map<std::string, std::int64_t> offsets_of(const ModelConfig& model, std::int64_t& elements) {
  std::map<std::string, std::int64_t> offsets;
  elements = 0;
  for (const TensorSpec& spec : dense_tensor_specs(model)) {
    offsets[spec.name] = elements;
    elements += spec.elements();
  }
  for (int layer = 0; layer < model.num_layers; ++layer) {
    for (int expert = 0; expert < model.experts.count; ++expert) {
      for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
        offsets[expert_tensor_name(layer, expert, static_cast<ExpertMatrix>(matrix))] = elements;
        elements += expert_widths(model.experts)[expert] * model.hidden_size;
      }
    }
  }
  return offsets;
}

/// The least (or greatest) value that any rank computes with, for every element of the model.
std::vector<double> over_ranks(ParameterStore& store, const ModelConfig& model,
                               Reduction reduction) {
  std::int64_t elements = 0;
  const auto offsets = offsets_of(model, elements);
  const double nobody = std::numeric_limits<double>::infinity();
  std::vector<double> values(static_cast<std::size_t>(elements),
                             reduction == Reduction::kMin ? nobody : -nobody);
  for (const StoredRow& row : rows_of(store)) {
    const at::Tensor copy = row.copy.to(at::kDouble);
    const std::int64_t begin = offsets.at(row.name) + row.row * copy.numel();
    std::copy_n(copy.const_data_ptr<double>(), copy.numel(), values.begin() + begin);
  }
  test_world().all_reduce(buffer_of(std::span(values)), reduction).wait();
  return values;
}

class ComputeCopies : public testing::TestWithParam<Precision> {};

TEST_P(ComputeCopies, HaveTheSameBitsOnAllRanksAfterFiftySteps) {
  RunConfig config = small_training();
  config.train.precision = GetParam();
  config.train.clip_norm = 1.0;
  Communicator& world = test_world();
  if (world.size() > 3) GTEST_SKIP() << "three ranks show it; more of them only take longer";
  for (const auto placement : {cut_placement, replicated_placement}) {
    TrainingWorld training(config, world, placement(config.model, world.size()));
    for (int step = 1; step <= 50; ++step) ASSERT_FALSE(training.step(step).skipped);
    ParameterStore& store = training.parameters();
    EXPECT_EQ(over_ranks(store, config.model, Reduction::kMin),
              over_ranks(store, config.model, Reduction::kMax));
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, ComputeCopies,
                         testing::Values(Precision::kFp32, Precision::kBf16),
                         [](const auto& precision) {
                           return precision.param == Precision::kFp32 ? "fp32" : "bf16";
                         });

}  // namespace
}  // namespace hetmoe::test
