#include "parallel/ownership/update_traffic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <span>

#include "parallel/communicator/local_communicator.h"
#include "parallel/ownership/ownership.h"
#include "parallel/placement/held_slices.h"
#include "tests/support/counting_communicator.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

using testing::ElementsAre;

TEST(UpdateTraffic, MatchesACountByHand) {
  // 12 dense elements in rows of 2; expert 0 (3 rows of 2 in each of 3 matrices) on rank 0, expert
  // 1 (2 rows) on both ranks, owned by rank 0. Rank 0 owns 30 elements of slices: all dense rows
  // are rank 1's.
  const std::vector<TensorSpec> dense = {{"a", 4, 2}, {"b", 2, 2, true, {}, 1}};
  const Placement placement{{{{{0, 0, 0, 3}, {1, 0, 0, 2, 0.5}, {1, 1, 0, 2, 0.5}}}}};
  const UpdateTraffic bf16 = update_traffic({dense, placement, {2, 1}, 2, 2});
  EXPECT_THAT(bf16.gradient_bytes, ElementsAre(4 * 12, 4 * 12));
  EXPECT_THAT(bf16.parameter_bytes, ElementsAre(2 * 12, 2 * 12));
  EXPECT_THAT(bf16.buffer_bytes, ElementsAre(4 * 12, 4 * (12 + 12)));
  // Two groups of one rank: rank 0 owns 1 and 1 rows, rank 1 owns 2 and 1; 12 and 18 elements, and
  // of the dense ones 9 and 3, at rows 10 and 2.
  const Placement alone{{{{{0, 0, 0, 3}, {1, 0, 0, 2}}}}};
  const UpdateTraffic fp32 = update_traffic({dense, alone, {1, 2}, 2, 4});
  EXPECT_THAT(fp32.gradient_bytes, ElementsAre(4 * (2 + 18), 4 * (10 + 12)));
  EXPECT_THAT(fp32.parameter_bytes, ElementsAre(4 * (10 + 12), 4 * (2 + 18)));
  EXPECT_THAT(fp32.buffer_bytes, ElementsAre(4 * (10 + 18 + 12), 4 * (2 + 12 + 18)));
}

TEST(UpdateTraffic, IsNoneOnOneRank) {
  const std::vector<TensorSpec> dense = {{"a", 4, 2}};
  const Placement placement{{{{{0, 0, 0, 3}}}}};
  const UpdateTraffic traffic = update_traffic({dense, placement, {1, 1}, 2, 4});
  EXPECT_THAT(traffic.gradient_bytes, ElementsAre(0));
  EXPECT_THAT(traffic.parameter_bytes, ElementsAre(0));
  EXPECT_THAT(traffic.buffer_bytes, ElementsAre(0));
}

struct World {
  ExpertGroups groups;
  Placement placement;
};

std::vector<World> worlds(const ModelConfig& model) {
  std::vector<World> worlds;
  for (const ExpertGroups& groups :
       {ExpertGroups{1, 1}, ExpertGroups{2, 1}, ExpertGroups{3, 1}, ExpertGroups{4, 1},
        ExpertGroups{2, 2}, ExpertGroups{1, 4}, ExpertGroups{3, 2}}) {
    worlds.push_back({groups, cut_placement(model, groups.size)});
    worlds.push_back({groups, replicated_placement(model, groups.size)});
  }
  return worlds;
}

TEST(UpdateTraffic, IsWhatOwnersGiveTheCommunicatorAndWhatTheyReport) {
  const ModelConfig model = small_training().model;
  const std::vector<TensorSpec> dense = dense_tensor_specs(model);
  for (const auto& [groups, placement] : worlds(model)) {
    for (const auto type : {at::kFloat, at::kBFloat16}) {
      const UpdateTraffic traffic =
          update_traffic({dense, placement, groups, model.hidden_size, type == at::kFloat ? 4 : 2});
      run_ranks(groups.ranks(), [&](Communicator& world) {
        const int rank = world.rank();
        CountingCommunicator gradients(world.split(0, rank)), parameters(world.split(0, rank));
        ParameterStore store(model, slices_of_rank(placement, groups.rank_in_group(rank)), type);
        Ownership ownership(gradients, parameters, store, placement, groups);
        for (int step = 1; step <= 2; ++step) {
          ownership.reduce_gradients();
          for (const int block : ownership.blocks()) ownership.send_copies(block);
          ownership.wait_all();
          EXPECT_EQ(gradients.bytes_sent(), step * traffic.gradient_bytes[rank]);
          EXPECT_EQ(parameters.bytes_sent(), step * traffic.parameter_bytes[rank]);
          EXPECT_EQ(ownership.update_bytes().gradients, gradients.bytes_sent());
          EXPECT_EQ(ownership.update_bytes().parameters, parameters.bytes_sent());
        }
      });
    }
  }
}

TEST(UpdateBytes, AreHiddenWhenTheyAreThereBeforeAnyoneWaits) {
  const ModelConfig model = small_training().model;
  for (const auto& [groups, placement] : worlds(model)) {
    for (const auto type : {at::kFloat, at::kBFloat16}) {
      run_ranks(groups.ranks(), [&](Communicator& world) {
        const auto own = world.split(0, world.rank());
        ParameterStore store(model, slices_of_rank(placement, groups.rank_in_group(world.rank())),
                             type);
        Ownership ownership(*own, *own, store, placement, groups);
        for (const int block : ownership.blocks()) ownership.send_copies(block);
        world.barrier();  // all have sent: nobody waits
        ownership.wait_all();
        const UpdateBytes& bytes = ownership.update_bytes();
        std::array<std::int64_t, 2> all = {bytes.parameters, bytes.parameters_hidden};
        world.all_reduce(buffer_of(std::span<std::int64_t>(all)), Reduction::kSum).wait();
        EXPECT_EQ(all[0], all[1]);
        EXPECT_EQ(all[0] > 0, groups.ranks() > 1);
      });
    }
  }
}

}  // namespace
}  // namespace hetmoe::test
