#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/model/parameter_specs.h"
#include "tests/support/mpi_world.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

/// All experts of both layers on the last rank, but for the first expert, which is dealt out row by
/// row: as far from cut_placement as can be, with ranks that hold nothing.
Placement other_placement(const ModelConfig& model, int ranks) {
  Placement placement;
  const auto widths = expert_widths(model.experts);
  for (int layer = 0; layer < model.num_layers; ++layer) {
    LayerPlacement& slices = placement.layers.emplace_back();
    for (std::int64_t row = 0; row < widths[0]; ++row) {
      slices.slices.push_back({0, static_cast<int>((row + layer) % ranks), row, row + 1});
    }
    for (int expert = 1; expert < static_cast<int>(widths.size()); ++expert) {
      slices.slices.push_back({expert, ranks - 1, 0, widths[expert]});
    }
  }
  return placement;
}

/// Master, both moments and compute copy of every row of every expert, as its owner has them.
using Rows = std::map<std::string, std::vector<double>>;

Rows rows_of_experts(const RunConfig& config, const Ownership& ownership, Communicator& world) {
  Rows all;
  const auto widths = expert_widths(config.model.experts);
  for (int layer = 0; layer < config.model.num_layers; ++layer) {
    for (int expert = 0; expert < config.model.experts.count; ++expert) {
      for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
        const auto name = expert_tensor_name(layer, expert, static_cast<ExpertMatrix>(matrix));
        all[name].assign(4 * widths[expert] * config.model.hidden_size, 0.0);
      }
    }
  }
  for (const OwnedRows& rows : ownership.owned()) {
    const auto known = all.find(rows.name);
    if (known == all.end()) continue;
    const std::size_t quarter = known->second.size() / 4;
    const at::Tensor kinds[] = {rows.master, rows.exp_avg, rows.exp_avg_sq, rows.copy};
    for (int kind = 0; kind < 4; ++kind) {
      const at::Tensor values = kinds[kind].to(at::kFloat).contiguous();
      for (std::int64_t i = 0; i < values.numel(); ++i) {
        known->second[kind * quarter + rows.row_begin * rows.columns + i] +=
            values.const_data_ptr<float>()[i];
      }
    }
  }
  for (auto& [name, values] : all) {
    world.all_reduce(buffer_of(std::span<double>(values)), Reduction::kSum).wait();
  }
  return all;
}

/// Every rank's copies of what it holds, replicas too, against the owners' (`rows`, from
/// rows_of_experts).
void expect_copies_of_owners(const RunConfig& config, ParameterStore& store, const Rows& rows) {
  for (int layer = 0; layer < config.model.num_layers; ++layer) {
    const at::Tensor values = store.slice_values(layer).to(at::kFloat);
    const float* next = values.const_data_ptr<float>();
    for (const Slice& slice : store.layer_slices(layer)) {
      for (int matrix = 0; matrix < kExpertMatrices; ++matrix) {
        const auto name =
            expert_tensor_name(layer, slice.expert, static_cast<ExpertMatrix>(matrix));
        const std::vector<double>& all = rows.at(name);
        const std::size_t copies = 3 * all.size() / 4;
        const std::int64_t columns = config.model.hidden_size;
        for (std::int64_t i = slice.begin * columns; i < slice.end * columns; ++i) {
          ASSERT_EQ(*next++, all[copies + i]) << name;
        }
      }
    }
  }
}

class Migration : public testing::TestWithParam<Precision> {};

TEST_P(Migration, BringsEveryMasterMomentAndCopyBitForBit) {
  RunConfig config = small_training();
  config.train.precision = GetParam();
  Communicator& world = test_world();
  if (world.size() == 1) GTEST_SKIP() << "nowhere to move to";
  TrainingWorld training(config, world, cut_placement(config.model, world.size()));
  for (int step = 1; step <= 3; ++step) training.step(step);
  const Rows before = rows_of_experts(config, training.ownership(), world);
  training.migrate(other_placement(config.model, world.size()));
  EXPECT_EQ(rows_of_experts(config, training.ownership(), world), before);
  for (int layer = 0; layer < config.model.num_layers; ++layer) {
    EXPECT_TRUE(training.parameters().slice_gradients(layer).abs().sum().item<float>() == 0.0F);
  }
  training.migrate(replicated_placement(config.model, world.size()));
  EXPECT_EQ(rows_of_experts(config, training.ownership(), world), before);
  expect_copies_of_owners(config, training.parameters(), before);
  training.migrate(cut_placement(config.model, world.size()));
  EXPECT_EQ(rows_of_experts(config, training.ownership(), world), before);
}

TEST_P(Migration, LeavesTheLossesAlone) {
  RunConfig config = small_training();
  config.train.precision = GetParam();
  config.train.learning_rate = 0.003;
  config.train.clip_norm = 1.0;
  Communicator& world = test_world();
  if (world.size() == 1) GTEST_SKIP() << "nowhere to move to";
  const Placement first = cut_placement(config.model, world.size());
  TrainingWorld stays(config, world, first);
  TrainingWorld moves(config, world, first);
  const double tolerance = GetParam() == Precision::kFp32 ? 1e-5 : 3e-3;
  for (int step = 1; step <= 14; ++step) {
    const double expected = stays.step(step).loss;
    EXPECT_NEAR(moves.step(step).loss, expected, tolerance * expected) << "step " << step;
    if (step == 5) moves.migrate(other_placement(config.model, world.size()));
    if (step == 8) moves.migrate(replicated_placement(config.model, world.size()));
    if (step == 11) moves.migrate(first);
  }
  EXPECT_EQ(moves.training().updates(), stays.training().updates());
}

INSTANTIATE_TEST_SUITE_P(Precisions, Migration, testing::Values(Precision::kFp32, Precision::kBf16),
                         [](const auto& precision) {
                           return precision.param == Precision::kFp32 ? "fp32" : "bf16";
                         });

}  // namespace
}  // namespace hetmoe::test
