#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <string>

#include "core/base/error.h"
#include "parallel/communicator/local_communicator.h"

namespace hetmoe {
namespace {

using testing::HasSubstr;

std::string broken_invariant(const std::function<void(Communicator&)>& call) {
  LocalWorld world(2);
  const auto rank0 = world.communicator(0);
  try {
    call(*rank0);
  } catch (const InternalError& error) {
    return error.what();
  }
  return "no InternalError";
}

TEST(CollectiveChecks, bf16_and_bytes_are_not_reduced) {
  std::array<unsigned char, 8> memory{};
  for (const DataType type : {DataType::kBFloat16, DataType::kByte}) {
    const Buffer values{memory.data(), 2, type};
    EXPECT_THAT(broken_invariant([&](auto& c) { c.all_reduce(values, Reduction::kSum).wait(); }),
                HasSubstr("reductions exist for fp32, fp64 and int64"));
    const std::array<std::int64_t, 2> counts = {2, 0};
    EXPECT_THAT(broken_invariant([&](auto& c) {
                  c.reduce_scatter_v(values, counts, Buffer{memory.data() + 4, 2, type}).wait();
                }),
                HasSubstr("reductions exist for"));
  }
}

TEST(CollectiveChecks, counts_must_add_up_to_the_buffer) {
  std::array<float, 4> memory{};
  const Buffer values{memory.data(), 4, DataType::kFloat32};
  const auto gather = [&](std::vector<std::int64_t> counts) {
    return broken_invariant([&](auto& c) { c.all_gather_v(values, counts).wait(); });
  };
  EXPECT_THAT(gather({1, 2}), HasSubstr("counts add up to 3, the buffer holds 4"));
  EXPECT_THAT(gather({5, -1}), HasSubstr("count -1"));
  EXPECT_THAT(gather({4}), HasSubstr("1 counts for 2 ranks"));
}

TEST(CollectiveChecks, send_and_receive_may_not_overlap) {
  std::array<float, 4> memory{};
  const std::array<std::int64_t, 2> counts = {1, 2};
  EXPECT_THAT(broken_invariant([&](auto& c) {
                c.all_to_all_v(Buffer{memory.data(), 3, DataType::kFloat32}, counts,
                               Buffer{memory.data() + 1, 3, DataType::kFloat32}, counts)
                    .wait();
              }),
              HasSubstr("overlap"));
}

TEST(CollectiveChecks, the_root_is_a_rank) {
  float value = 0;
  EXPECT_THAT(broken_invariant([&](auto& c) {
                c.broadcast({&value, 1, DataType::kFloat32}, 2).wait();
              }),
              HasSubstr("root 2 of 2 ranks"));
}

TEST(CollectiveChecks, elements_need_memory) {
  EXPECT_THAT(broken_invariant([](auto& c) {
                c.broadcast({nullptr, 3, DataType::kFloat32}, 0).wait();
              }),
              HasSubstr("no memory for 3 elements"));
}

}  // namespace
}  // namespace hetmoe
