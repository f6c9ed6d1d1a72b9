#include "core/kernels/gpu/exclusive_sum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/gpu/device_array.h"
#include "tests/unit/gpu/elements.h"

namespace hetmoe::test {
namespace {

using Integers = std::vector<std::int32_t>;

Integers sums_of(const Integers& values, bool in_place) {
  const auto count = static_cast<std::int64_t>(values.size());
  Integers room = values;
  room.push_back(-7);
  const DeviceArray<std::int32_t> in(room), apart(values.size() + 1);
  const DeviceArray<std::int32_t> scratch(
      static_cast<std::size_t>(gpu::exclusive_sum_scratch(count)));
  const DeviceArray<std::int32_t>& out = in_place ? in : apart;
  gpu::exclusive_sum(in.get(), count, out.get(), scratch.get(), nullptr);
  return out.values();
}

void check(std::int64_t count) {
  Integers values, expected(1, 0);
  for (std::int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<std::int32_t>(i * 7919 % 13) - 2);
    expected.push_back(expected.back() + values.back());
  }
  for (const bool in_place : {false, true}) {
    const Integers got = same_in_any_turns([&] { return sums_of(values, in_place); });
    EXPECT_TRUE(got == expected) << count;
  }
}

TEST(GpuExclusiveSum, each_sum_is_that_of_what_comes_before) {
  // Around what a thread, a warp and a block take at once, and what one block takes in all.
  for (const std::int64_t count : {0, 1, 7, 9, 255, 257, 2047, 2049, 4095, 4096, 4097, 40000}) {
    check(count);
  }
}

TEST(GpuExclusiveSum, what_one_block_can_do_is_one_launch_and_nothing_is_none) {
  if (!kIsObserved) GTEST_SKIP() << "nobody counts launches here";
  const auto launches = [](std::size_t count) {
    const std::uint64_t before = launches_so_far();
    sums_of(Integers(count, 1), false);
    return launches_so_far() - before;
  };
  EXPECT_EQ(launches(0), 0U);
  EXPECT_EQ(launches(4096), 1U);
  EXPECT_EQ(launches(4097), 3U);
}

}  // namespace
}  // namespace hetmoe::test
