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

// 16 bytes of a parameter in fp32, 18 in bf16; a copy that is not the owner's takes 8 or 6.
TEST(ParameterBytes, CountOwnersAndCopies) {
  RunConfig config = small_config();
  const auto all = [&] {
    const std::vector<std::int64_t> bytes = parameter_bytes(config, one_expert_each(), 2);
    return bytes.at(0) + bytes.at(1);
  };
  const std::int64_t parameters = kDense + kSlices[0] + kSlices[1];
  EXPECT_EQ(all(), 16 * parameters + 8 * kDense);
  config.train.precision = Precision::kBf16;
  EXPECT_EQ(all(), 18 * parameters + 6 * kDense);
}

TEST(ParameterBytes, OfReplicasOneIsOwned) {
  Placement copied = one_expert_each();
  copied.layers[0].slices = {{0, 0, 0, 3}, {1, 0, 0, 5, 0.5}, {1, 1, 0, 5, 0.5}};
  const auto sum = [](const std::vector<std::int64_t>& bytes) { return bytes[0] + bytes[1]; };
  // The copy that is not the owner's takes 8 bytes of a parameter, its gradient among them.
  EXPECT_EQ(sum(parameter_bytes(small_config(), copied, 2)),
            sum(parameter_bytes(small_config(), one_expert_each(), 2)) + 8 * kSlices[1]);
}

TEST(RequireMemory, RefusesAModelThatNoHostCanHold) {
  RunConfig config = small_config();
  EXPECT_NO_THROW(
      run_ranks(2, [&](Communicator& group) { require_memory(config, one_expert_each(), group); }));
  config.model.vocab_size = 1'000'000'000'000;
  run_ranks(2, [&](Communicator& group) {
    try {
      require_memory(config, one_expert_each(), group);
      ADD_FAILURE() << "was not refused";
    } catch (const AgreedError& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::kConfiguration);
      EXPECT_THAT(error.what(), testing::HasSubstr("of the 2 ranks on this host, which has"));
    }
  });
}

}  // namespace
}  // namespace hetmoe
