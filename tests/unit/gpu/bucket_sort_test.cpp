#include "core/kernels/gpu/bucket_sort.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "tests/unit/gpu/device_array.h"
#include "tests/unit/gpu/elements.h"

namespace hetmoe::test {
namespace {

using Integers = std::vector<std::int32_t>;

struct Sorted {
  Integers count, position, order;
};

Sorted sort_on_device(const Integers& keys, std::int64_t buckets) {
  const auto items = static_cast<std::int64_t>(keys.size());
  const DeviceArray<std::int32_t> key(keys), count(static_cast<std::size_t>(buckets));
  const DeviceArray<std::int32_t> position(keys.size());
  const DeviceArray<std::int32_t> order(Integers(keys.size(), -9));
  const DeviceArray<std::int32_t> scratch(
      static_cast<std::size_t>(gpu::bucket_sort_scratch(items, buckets)));
  gpu::bucket_sort({.key = key.get(),
                    .items = items,
                    .buckets = buckets,
                    .count = count.get(),
                    .position = position.get(),
                    .order = order.get()},
                   scratch.get(), nullptr);
  return {count.values(), position.values(), order.values()};
}

Sorted sort_on_host(const Integers& keys, std::int64_t buckets) {
  Sorted sorted{Integers(static_cast<std::size_t>(buckets), 0), Integers(keys.size(), -1),
                Integers(keys.size())};
  std::iota(sorted.order.begin(), sorted.order.end(), 0);
  std::erase_if(sorted.order,
                [&](std::int32_t i) { return keys[static_cast<std::size_t>(i)] < 0; });
  std::stable_sort(sorted.order.begin(), sorted.order.end(), [&](std::int32_t a, std::int32_t b) {
    return keys[static_cast<std::size_t>(a)] < keys[static_cast<std::size_t>(b)];
  });
  for (std::size_t place = 0; place < sorted.order.size(); ++place) {
    const auto item = static_cast<std::size_t>(sorted.order[place]);
    sorted.position[item] = static_cast<std::int32_t>(place);
    ++sorted.count[static_cast<std::size_t>(keys[item])];
  }
  sorted.order.resize(keys.size(), -9);
  return sorted;
}

void check(const Integers& keys, std::int64_t buckets) {
  const Sorted expected = sort_on_host(keys, buckets);
  same_in_any_turns([&] { return sort_on_device(keys, buckets).order; });
  const Sorted got = sort_on_device(keys, buckets);
  EXPECT_TRUE(got.count == expected.count) << keys.size() << " items, " << buckets << " buckets";
  EXPECT_TRUE(got.position == expected.position) << keys.size() << " items, " << buckets;
  EXPECT_TRUE(got.order == expected.order) << keys.size() << " items, " << buckets;
}

Integers random_keys(std::size_t items, std::int32_t lowest, std::int64_t buckets) {
  std::mt19937 random(5);
  std::uniform_int_distribution<std::int32_t> any(lowest, static_cast<std::int32_t>(buckets) - 1);
  Integers keys;
  for (std::size_t i = 0; i < items; ++i) keys.push_back(any(random));
  return keys;
}

TEST(GpuBucketSort, items_are_sorted_by_bucket_and_keep_their_order_within) {
  // Around a warp and a chunk of 256; chunks as long as there are buckets.
  for (const std::size_t items : {1, 31, 33, 255, 257, 3000}) {
    for (const std::int64_t buckets : {1, 3, 40, 700}) {
      check(random_keys(items, 0, buckets), buckets);
    }
  }
  check(random_keys(4500, 0, gpu::kMostBuckets), gpu::kMostBuckets);
}

TEST(GpuBucketSort, items_with_a_negative_key_are_dropped) {
  check(random_keys(1000, -3, 5), 5);
  check(Integers(40, -1), 3);
}

TEST(GpuBucketSort, a_bucket_may_have_all_items_and_others_none) { check(Integers(600, 2), 4); }

TEST(GpuBucketSort, no_items_launch_nothing_and_leave_counts_of_zero) {
  const std::uint64_t before = launches_so_far();
  EXPECT_THAT(sort_on_device({}, 3).count, testing::ElementsAre(0, 0, 0));
  EXPECT_EQ(launches_so_far(), before);
}

}  // namespace
}  // namespace hetmoe::test
