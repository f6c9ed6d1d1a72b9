#include "runtime/trainer/memory_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "parallel/agreement.h"
#include "parallel/communicator/local_communicator.h"

namespace hetmoe {
namespace {

RunConfig small_config() {
  RunConfig config;
  config.model.vocab_size = 10;
  config.model.hidden_size = 4;
  config.model.num_layers = 1;
  config.model.num_heads = 2;
  config.model.num_kv_heads = 2;
  config.model.experts.count = 2;
  config.model.experts.widths = {3, 5};
  config.train.precision = Precision::kFp32;
  config.checkpoint.every_steps = 0;
  config.checkpoint.last_step = false;
  return config;
}

Placement one_expert_each() {
  Placement placement;
  placement.layers.resize(1);
  placement.layers[0].slices = {{0, 0, 0, 3}, {1, 1, 0, 5}};
  return placement;
}

// Embedding and head 2 x 40, attention 4 x 16, three norms of 4, router 2 x 4.
constexpr std::int64_t kDense = 80 + 64 + 12 + 8;
constexpr std::int64_t kSlices[] = {3 * 3 * 4, 3 * 5 * 4};

std::int64_t sum_of_states(const std::vector<MemoryNeed>& needs) {
  std::int64_t sum = 0;
  for (const MemoryNeed& need : needs) sum += need.state_bytes + need.snapshot_bytes;
  return sum;
}

// 16 bytes of a parameter in fp32, 18 in bf16; a copy that is not the owner's takes 8 or 6. The
// owners of dense parameters take 4 for their summed gradients. What is saved takes 12 more.
TEST(ParameterBytes, CountOwnersAndCopies) {
  RunConfig config = small_config();
  const auto all = [&] { return sum_of_states(memory_needs(config, one_expert_each(), {2, 1})); };
  const std::int64_t parameters = kDense + kSlices[0] + kSlices[1];
  EXPECT_EQ(all(), 16 * parameters + 8 * kDense + 4 * kDense);
  config.train.precision = Precision::kBf16;
  EXPECT_EQ(all(), 18 * parameters + 6 * kDense + 4 * kDense);
  config.checkpoint.every_steps = 10;
  EXPECT_EQ(all(), 30 * parameters + 6 * kDense + 4 * kDense);
}

TEST(ParameterBytes, OfReplicasOneIsOwned) {
  Placement copied = one_expert_each();
  copied.layers[0].slices = {{0, 0, 0, 3}, {1, 0, 0, 5, 0.5}, {1, 1, 0, 5, 0.5}};
  // The copy that is not the owner's takes 8 bytes of a parameter, its gradient among them, and
  // with its owner 4 each to be sent and received.
  EXPECT_EQ(
      sum_of_states(memory_needs(small_config(), copied, {2, 1})),
      sum_of_states(memory_needs(small_config(), one_expert_each(), {2, 1})) + 16 * kSlices[1]);
}

TEST(ParameterBytes, GroupsHoldCopiesAndShareTheMoments) {
  RunConfig config = small_config();
  config.train.precision = Precision::kBf16;
  const std::vector<MemoryNeed> needs = memory_needs(config, one_expert_each(), {2, 3});
  const std::int64_t slices = kSlices[0] + kSlices[1];
  // Copies and gradients on every rank that holds them, masters and moments once in the world. Each
  // of three copies of a row sends two thirds of its gradients, and owners receive two of a third.
  const std::int64_t buffers = 4 * kDense + 4 * (3 * slices * 2 / 3) + 4 * 2 * slices;
  EXPECT_EQ(sum_of_states(needs), 6 * (6 * kDense + 3 * slices) + 12 * (kDense + slices) + buffers);
}

// Of the 2 sets of 1 of 2 experts: both weights of 4 x 3 and biases of 4 and 3 in one layer, in
// fp32 with fp32 gradients; on ranks of 6 tokens, of which half outnumber the sets.
TEST(MemoryNeeds, CountGeneratedWeightsUpToTheirLimit) {
  RunConfig config = small_config();
  config.model.router.top_k = 1;
  config.train.global_batch = 4;
  config.train.sequence_length = 3;
  config.model.hyper = {.enabled = true, .rank = 3};
  const auto all = [&] { return sum_of_states(memory_needs(config, one_expert_each(), {2, 1})); };
  const std::int64_t with = all();
  config.model.hyper.memory_limit = 1;
  EXPECT_EQ(with - all(), 2 * (2 * (2 * 4 * 3 + 4 + 3) * 8));
  config.model.hyper.memory_limit = 0;
  EXPECT_EQ(with, all());
}

// Two layers; each rank has 6 tokens and its slices meet 6 of the 12, uniformly.
TEST(MemoryNeeds, KnowWhatIsComputedAgain) {
  RunConfig config = small_config();
  config.model.num_layers = 2;
  config.model.router.top_k = 1;
  config.train.global_batch = 4;
  config.train.sequence_length = 3;
  Placement placement = one_expert_each();
  placement.layers.push_back(placement.layers[0]);
  const auto activations = [&](Recompute recompute) {
    config.train.recompute = recompute;
    return memory_needs(config, placement, {2, 1})[1].activation_bytes;
  };
  // 3 x 4 values and a root at the end; a layer: inputs of 4 x 4, query, key, value and output of
  // 4, of two heads, two norms and two experts a number each; rows of 4, gate and up of 5 hidden
  // units.
  const std::int64_t ends = 6 * 13, layer = 6 * (32 + 2 + 2 + 2), rows = 6 * 4, gate_up = 6 * 10;
  EXPECT_EQ(activations(Recompute::kNone), 4 * (ends + 2 * (layer + rows + gate_up)));
  EXPECT_EQ(activations(Recompute::kExperts), 4 * (ends + 2 * (layer + rows) + gate_up));
  // Of one layer the block's input and the router's probabilities.
  EXPECT_EQ(activations(Recompute::kBlock), 4 * (ends + layer + 6 * (4 + 2) + 2 * rows + gate_up));
}

TEST(RequireMemory, RefusesAModelThatNoHostCanHold) {
  RunConfig config = small_config();
  EXPECT_NO_THROW(run_ranks(2, [&](Communicator& group) {
    require_memory(config, one_expert_each(), {2, 1}, group);
  }));
  config.model.vocab_size = 1'000'000'000'000;
  run_ranks(2, [&](Communicator& group) {
    try {
      require_memory(config, one_expert_each(), {2, 1}, group);
      ADD_FAILURE() << "was not refused";
    } catch (const AgreedError& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::kConfiguration);
      EXPECT_THAT(error.what(), testing::HasSubstr("of the 2 ranks on this host, which has"));
    }
  });
}

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

TEST(DeviceShortage, RanksOfOneGpuNeedItTogetherAndOthersDoNotCount) {
  const std::vector<MemoryNeed> needs = {{.state_bytes = 4 * kGiB, .activation_bytes = kGiB},
                                         {.state_bytes = 90 * kGiB},
                                         {.state_bytes = 2 * kGiB, .activation_bytes = 3 * kGiB}};
  const std::vector<int> devices = {0, 1, 0};
  const auto shortage = [&](std::int64_t free_bytes) {
    return device_shortage(needs, devices, 2,
                           {.name = "GPU X", .total_bytes = 80 * kGiB, .free_bytes = free_bytes});
  };
  // Six for two ranks, and the reserve of each: what activations take is not known.
  EXPECT_EQ(shortage(6 * kGiB + 2 * kDeviceReserveBytes), std::nullopt);
  EXPECT_EQ(shortage(6 * kGiB + 2 * kDeviceReserveBytes - 1).value_or(""),
            "GPU X has 7.0 GiB of 80.0 GiB free, but its 2 ranks need 6.0 GiB for parameters, "
            "gradients and moments, about 4.0 GiB for activations, and 1.0 GiB in reserve: use "
            "more GPUs or a smaller model, lower train.global_batch or train.sequence_length, or "
            "raise train.microbatches");
}

TEST(DeviceShortage, WhatIsSavedLiesOnTheHost) {
  const std::vector<MemoryNeed> needs = {{.state_bytes = kGiB, .snapshot_bytes = 100 * kGiB}};
  EXPECT_EQ(device_shortage(needs, {0}, 0, {.name = "GPU X", .free_bytes = 2 * kGiB}),
            std::nullopt);
}

}  // namespace
}  // namespace hetmoe
