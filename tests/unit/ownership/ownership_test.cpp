#include "parallel/ownership/ownership.h"

#include <ATen/core/Tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "core/base/error.h"
#include "parallel/communicator/local_communicator.h"
#include "parallel/placement/held_slices.h"
#include "tests/support/recording_communicator.h"
#include "tests/support/replicated_training.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

using testing::ElementsAre;

constexpr std::uint64_t kSeed = 11;

ModelConfig small_model() { return small_training().model; }

AdamWStep update_number(std::int64_t step) {
  return {.learning_rate = 0.01,
          .weight_decay = 0.1,
          .update = step,
          .gradient_scale = step % 2 == 0 ? 0.5 : 1.0};
}

/// What one rank owns and computes with, over decorated communicators.
template <typename Decorator>
struct OwningRank {
  OwningRank(Communicator& world, const Placement& placement, const ExpertGroups& groups,
             at::ScalarType type)
      : gradients(world.split(0, world.rank())),
        parameters(world.split(0, world.rank())),
        store(small_model(), slices_of_rank(placement, groups.rank_in_group(world.rank())), type),
        ownership(gradients, parameters, store, placement, groups) {
    ownership.assign(Ownership::initial_masters(kSeed));
  }

  /// Fills one block's gradients, or those of all.
  void fill_gradients(std::int64_t step, std::optional<int> block = {}) {
    for (StoredRow& row : rows_of(store)) {
      if (block && row.block != *block) continue;
      for (std::size_t column = 0; column < row.gradient.size(); ++column) {
        row.gradient[column] = gradient_of(gradients.rank(), step, row.name, row.row,
                                           static_cast<std::int64_t>(column));
      }
    }
  }

  /// As a decoder and a step do it: gradients complete block after block, from the head on.
  void reduce_as_backward_goes(std::int64_t step) {
    for (const int block : {2, 1, 0, -1}) {
      fill_gradients(step, block);
      ownership.complete(block);
    }
    ownership.reduce_gradients();
  }

  void update_and_send(const AdamWStep& step) {
    for (const int block : ownership.blocks()) {
      ownership.update(block, step);
      ownership.send_copies(block);
    }
  }

  Decorator gradients, parameters;
  ParameterStore store;
  Ownership ownership;
};

using PlainRank = OwningRank<ForwardingCommunicator>;

void expect_rows(const at::Tensor& values, std::span<const float> expected,
                 const std::string& what) {
  const auto* begin = values.const_data_ptr<float>();
  ASSERT_TRUE(std::equal(expected.begin(), expected.end(), begin)) << what;
}

/// Bits of summed gradients and masters of what is owned here.
void expect_owned(const Ownership& ownership, const ReplicatedTraining& expected) {
  for (const OwnedRows& rows : ownership.owned()) {
    for (std::int64_t row = rows.row_begin; row < rows.row_end; ++row) {
      const std::int64_t begin = (row - rows.row_begin) * rows.columns;
      expect_rows(rows.gradient.narrow(0, begin, rows.columns), expected.gradient(rows.name, row),
                  "gradient of " + rows.name);
      expect_rows(rows.master.narrow(0, begin, rows.columns), expected.master(rows.name, row),
                  "master of " + rows.name);
    }
  }
}

/// Bits of every compute copy, in bf16 of the rounded master.
void expect_copies(ParameterStore& store, const ReplicatedTraining& expected) {
  for (const StoredRow& row : rows_of(store)) {
    const std::span<const float> master = expected.master(row.name, row.row);
    std::vector<float> copy(master.begin(), master.end());
    if (store.type() == at::kBFloat16) {
      for (float& value : copy) value = static_cast<float>(c10::BFloat16(value));
    }
    expect_rows(row.copy.to(at::kFloat), copy, row.name + " row " + std::to_string(row.row));
  }
}

/// Every element of the model has one owner, and dense ones go to ranks that own least: who owns
/// any stands no more than two rows above the rank with least.
void expect_even_owners(Communicator& world, const Ownership& ownership) {
  std::vector<std::int64_t> owned(static_cast<std::size_t>(world.size()), 0);
  std::int64_t dense = 0;
  for (const OwnedRows& rows : ownership.owned()) {
    owned[world.rank()] += rows.exp_avg.numel();
    if (rows.name.find(".experts.") == std::string::npos) dense += rows.exp_avg.numel();
  }
  const std::int64_t here = owned[world.rank()];
  world.all_reduce(buffer_of(std::span(owned)), Reduction::kSum).wait();
  EXPECT_EQ(std::reduce(owned.begin(), owned.end()), total_parameters(small_model()));
  const std::int64_t least = *std::min_element(owned.begin(), owned.end());
  EXPECT_TRUE(dense <= 16 || here <= least + 16)
      << "rank " << world.rank() << " owns " << here << ", another " << least;
}

struct World {
  ExpertGroups groups;
  Placement (*placement)(const ModelConfig&, int ranks);
  at::ScalarType type;
};

std::string name_of(const testing::TestParamInfo<World>& info) {
  const World& world = info.param;
  return std::to_string(world.groups.count) + "_groups_of_" + std::to_string(world.groups.size) +
         (world.placement == cut_placement ? "_cut_" : "_replicated_") +
         (world.type == at::kFloat ? "fp32" : "bf16");
}

class WithOwners : public testing::TestWithParam<World> {};

TEST_P(WithOwners, TrainingHasTheBitsOfTrainingWithoutThem) {
  const auto& [groups, make_placement, type] = GetParam();
  const Placement placement = make_placement(small_model(), groups.size);
  run_ranks(groups.ranks(), [&](Communicator& world) {
    PlainRank rank(world, placement, groups, type);
    ReplicatedTraining expected(small_model(), placement, groups, kSeed);
    expect_copies(rank.store, expected);
    for (std::int64_t step = 1; step <= 4; ++step) {
      rank.reduce_as_backward_goes(step);
      expected.sum_gradients(step);
      rank.update_and_send(update_number(step));
      expected.update(update_number(step));
      expect_owned(rank.ownership, expected);
      for (const int block : {-1, 0, 1, 2}) rank.ownership.wait(block);
      expect_copies(rank.store, expected);
    }
  });
}

TEST_P(WithOwners, MovingEverythingElsewhereChangesNoBit) {
  const auto& [groups, make_placement, type] = GetParam();
  const Placement first = make_placement(small_model(), groups.size);
  const std::vector<Placement> later = {replicated_placement(small_model(), groups.size),
                                        whole_placement(small_model()),
                                        cut_placement(small_model(), groups.size)};
  run_ranks(groups.ranks(), [&](Communicator& world) {
    PlainRank rank(world, first, groups, type);
    ReplicatedTraining expected(small_model(), first, groups, kSeed);
    for (std::int64_t step = 1; step <= 4; ++step) {
      rank.reduce_as_backward_goes(step);
      expected.sum_gradients(step);
      rank.update_and_send(update_number(step));
      expected.update(update_number(step));
      if (step == 4) break;
      rank.ownership.migrate(later[step - 1]);
      expected.follow(later[step - 1]);
      expect_copies(rank.store, expected);
    }
    expect_owned(rank.ownership, expected);
    rank.ownership.wait_all();
    expect_copies(rank.store, expected);
  });
}

constexpr ExpertGroups kGroups[] = {{1, 1}, {2, 1}, {3, 1}, {4, 1}, {2, 2}, {1, 4}, {3, 2}};

std::vector<World> worlds() {
  std::vector<World> worlds;
  for (const ExpertGroups& groups : kGroups) {
    for (const auto placement : {cut_placement, replicated_placement}) {
      for (const auto type : {at::kFloat, at::kBFloat16}) {
        worlds.push_back({groups, placement, type});
      }
    }
  }
  return worlds;
}

INSTANTIATE_TEST_SUITE_P(Worlds, WithOwners, testing::ValuesIn(worlds()), name_of);

TEST(Ownership, IsEvenBeforeAndAfterAMove) {
  for (const ExpertGroups& groups : kGroups) {
    const Placement first = cut_placement(small_model(), groups.size);
    run_ranks(groups.ranks(), [&](Communicator& world) {
      PlainRank rank(world, first, groups, at::kFloat);
      expect_even_owners(world, rank.ownership);
      rank.ownership.migrate(replicated_placement(small_model(), groups.size));
      expect_even_owners(world, rank.ownership);
    });
  }
}

TEST(Ownership, SumsTheSameWhetherBlocksWereReportedOrNot) {
  const ExpertGroups groups{2, 2};
  const Placement placement = replicated_placement(small_model(), groups.size);
  run_ranks(groups.ranks(), [&](Communicator& world) {
    PlainRank reported(world, placement, groups, at::kFloat);
    PlainRank silent(world, placement, groups, at::kFloat);
    reported.reduce_as_backward_goes(1);
    silent.fill_gradients(1);
    silent.ownership.reduce_gradients();
    for (std::size_t i = 0; i < reported.ownership.owned().size(); ++i) {
      EXPECT_TRUE(
          reported.ownership.owned()[i].gradient.equal(silent.ownership.owned()[i].gradient));
    }
    EXPECT_EQ(reported.ownership.owned_sum_of_squares().value(),
              silent.ownership.owned_sum_of_squares().value());
  });
}

TEST(Ownership, RefusesBlocksInAnotherOrder) {
  const Placement placement = cut_placement(small_model(), 1);
  run_ranks(1, [&](Communicator& world) {
    PlainRank rank(world, placement, {1, 1}, at::kFloat);
    rank.ownership.complete(2);
    EXPECT_THROW(rank.ownership.complete(0), InternalError);
  });
}

std::int64_t elements_of(const ParameterStore& store, int block) {
  std::int64_t elements = 0;
  for (const TensorSpec& spec : store.dense_specs()) {
    elements += spec.block == block ? spec.elements() : 0;
  }
  return elements;
}

using RecordedRank = OwningRank<RecordingCommunicator>;

std::string exchange(const char* operation, std::int64_t elements) {
  return std::string(operation) + " " + std::to_string(elements);
}

/// On rank 0 of two: experts 2 and 3 and most of expert 1 are on both ranks and owned by rank 0.
const std::int64_t kCopiedElements = 3 * (3 + 6 + 11) * 8;

TEST(Ownership, StartsEveryBlockInItsOrderAndWaitsOnlyWhereAsked) {
  const ExpertGroups groups{2, 1};
  const Placement placement = replicated_placement(small_model(), 2);
  run_ranks(2, [&](Communicator& world) {
    RecordedRank rank(world, placement, groups, at::kFloat);
    const std::int64_t shared = world.rank() == 0 ? 0 : kCopiedElements;
    const auto dense = [&](const char* operation, int block) {
      return exchange(operation, elements_of(rank.store, block));
    };
    rank.gradients.log().clear();
    for (const int block : {2, 1, 0, -1}) rank.ownership.complete(block);
    EXPECT_THAT(rank.gradients.log(),
                ElementsAre(dense("reduce_scatter_v", 2), dense("reduce_scatter_v", 1),
                            exchange("all_to_all_v", shared), dense("reduce_scatter_v", 0),
                            exchange("all_to_all_v", shared), dense("reduce_scatter_v", -1)));
    rank.ownership.reduce_gradients();
    EXPECT_EQ(rank.gradients.log().size(), 12U) << "all that was started has been waited for";

    const std::int64_t copied = kCopiedElements - shared;
    rank.parameters.log().clear();
    for (const int block : rank.ownership.blocks()) rank.ownership.send_copies(block);
    EXPECT_THAT(rank.parameters.log(),
                ElementsAre(dense("all_gather_v", -1), dense("all_gather_v", 0),
                            exchange("all_to_all_v", copied), dense("all_gather_v", 1),
                            exchange("all_to_all_v", copied), dense("all_gather_v", 2)));
    rank.parameters.log().clear();
    rank.ownership.wait(0);
    rank.ownership.wait(0);
    EXPECT_THAT(rank.parameters.log(),
                ElementsAre("waited for " + dense("all_gather_v", 0),
                            "waited for " + exchange("all_to_all_v", copied)));
    rank.ownership.wait_all();
    EXPECT_EQ(rank.parameters.log().size(), 6U);
  });
}

TEST(Ownership, ABlockArrivesWhileLaterOnesHaveNotBeenSent) {
  const ExpertGroups groups{2, 1};
  const Placement placement = replicated_placement(small_model(), 2);
  run_ranks(2, [&](Communicator& world) {
    PlainRank rank(world, placement, groups, at::kFloat);
    ReplicatedTraining expected(small_model(), placement, groups, kSeed);
    rank.reduce_as_backward_goes(1);
    expected.sum_gradients(1);
    expected.update(update_number(1));
    for (const int block : {-1, 0}) {
      rank.ownership.update(block, update_number(1));
      rank.ownership.send_copies(block);
    }
    rank.ownership.wait(0);
    for (const StoredRow& row : rows_of(rank.store)) {
      if (row.block == 0) expect_rows(row.copy, expected.master(row.name, row.row), row.name);
    }
    world.barrier();
    for (const int block : {1, 2}) rank.ownership.send_copies(block);
    rank.ownership.wait_all();
  });
}

TEST(Ownership, ARankThatFailsWithGradientsUnderWayWakesItsPeers) {
  const Placement placement = replicated_placement(small_model(), 3);
  EXPECT_THROW(run_ranks(3,
                         [&](Communicator& world) {
                           PlainRank rank(world, placement, {3, 1}, at::kFloat);
                           rank.ownership.complete(2);
                           rank.ownership.complete(1);
                           if (world.rank() == 1) throw std::runtime_error("deliberate");
                           EXPECT_THROW(rank.ownership.reduce_gradients(), CommunicationError);
                         }),
               std::runtime_error);
}

TEST(Ownership, AnUpdateWaitsUntilTheBlocksCopiesHaveBeenSent) {
  const Placement placement = replicated_placement(small_model(), 2);
  run_ranks(2, [&](Communicator& world) {
    RecordedRank rank(world, placement, {2, 1}, at::kFloat);
    for (const int block : rank.ownership.blocks()) rank.ownership.send_copies(block);
    for (const int block : rank.ownership.blocks()) {
      rank.parameters.log().clear();
      rank.ownership.update(block, update_number(1));
      EXPECT_EQ(rank.parameters.log().size(), block == 0 || block == 1 ? 2U : 1U) << block;
    }
  });
}

}  // namespace
}  // namespace hetmoe::test
