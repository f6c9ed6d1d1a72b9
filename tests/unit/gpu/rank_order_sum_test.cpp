#include "parallel/communicator/rank_order_sum.h"

#include <gtest/gtest.h>
#include <observed_device.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "parallel/communicator/rank_order_reduction.h"
#include "tests/support/conformance_values.h"
#include "tests/unit/gpu/device_array.h"

namespace hetmoe::test {
namespace {

/// Where the values of four ranks lie: in slots, and this rank's among them.
struct Layout {
  std::int64_t count = 0;
  std::int64_t slot_elements = 0;
  int own_rank = 0;
  bool in_place = false;
  std::int64_t first = 0;  ///< elements before the first slot: 1 spoils the alignment
};

constexpr int kRanks = 4;

template <typename T>
std::vector<T> values_with_special_ones(int rank, std::int64_t count) {
  std::vector<T> values = values_of<T>(5, rank, count);
  if constexpr (std::is_floating_point_v<T>) {
    const std::array<T, 4> special = {std::numeric_limits<T>::infinity(), T(-0.0),
                                      std::numeric_limits<T>::denorm_min(), T(0)};
    for (std::size_t i = 0; i < values.size(); i += 11)
      values[i] = special[(i / 11 + static_cast<std::size_t>(rank)) % special.size()];
  } else {
    for (std::size_t i = 0; i < values.size(); i += 7) values[i] = std::numeric_limits<T>::max();
  }
  return values;
}

/// The kernel's result, which must leave all around it as it was.
template <typename T>
std::vector<T> reduced_on_device(const Layout& layout, Reduction reduction,
                                 const std::vector<std::vector<T>>& values) {
  const auto at = [&](std::int64_t rank) {
    return static_cast<std::size_t>(layout.first + rank * layout.slot_elements);
  };
  std::vector<T> memory(at(kRanks), T(7));
  for (int rank = 0; rank < kRanks; ++rank) {
    const auto& from = values[static_cast<std::size_t>(rank)];
    if (rank != layout.own_rank || layout.in_place)
      std::copy(from.begin(), from.end(), memory.begin() + static_cast<std::ptrdiff_t>(at(rank)));
  }
  const DeviceArray<T> slots(memory);
  const DeviceArray<T> own(values[static_cast<std::size_t>(layout.own_rank)]);
  const DeviceArray<T> apart(std::vector<T>(static_cast<std::size_t>(layout.count) + 1, T(7)));
  const auto bytes = [](T* pointer) { return reinterpret_cast<std::byte*>(pointer); };
  T* own_values = layout.in_place ? slots.get() + at(layout.own_rank) : own.get();
  gpu::rank_order_sum({.type = data_type_of<T>(),
                       .reduction = reduction,
                       .slots = bytes(slots.get() + layout.first),
                       .slot_bytes = layout.slot_elements * static_cast<std::int64_t>(sizeof(T)),
                       .own = bytes(own_values),
                       .own_rank = layout.own_rank,
                       .ranks = kRanks,
                       .destination = bytes(layout.in_place ? own_values : apart.get()),
                       .count = layout.count},
                      nullptr);
  if (!layout.in_place) {
    EXPECT_TRUE(same_bits(slots.values(), memory)) << "sources are only read";
    std::vector<T> result = apart.values();
    EXPECT_EQ(result.back(), T(7)) << "written beyond the end";
    result.pop_back();
    return result;
  }
  const std::vector<T> all = slots.values();
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(at(layout.own_rank));
  return {begin, begin + layout.count};
}

template <typename T>
void check(const Layout& layout) {
  std::vector<std::vector<T>> values;
  for (int rank = 0; rank < kRanks; ++rank)
    values.push_back(values_with_special_ones<T>(rank, layout.count));
  std::vector<const void*> sources;
  for (const std::vector<T>& one : values) sources.push_back(one.data());
  for (const Reduction reduction : {Reduction::kSum, Reduction::kMin, Reduction::kMax}) {
    std::vector<T> expected(static_cast<std::size_t>(layout.count));
    reduce_in_rank_order(data_type_of<T>(), reduction, sources, expected.data(), layout.count);
    const auto got =
        same_in_any_turns([&] { return reduced_on_device(layout, reduction, values); });
    EXPECT_TRUE(same_bits(got, expected))
        << "count " << layout.count << " own " << layout.own_rank << " first " << layout.first
        << " reduction " << static_cast<int>(reduction);
  }
}

template <typename T>
class RankOrderSum : public testing::Test {};
using Types = testing::Types<float, double, std::int64_t>;
TYPED_TEST_SUITE(RankOrderSum, Types);

TYPED_TEST(RankOrderSum, has_the_bits_of_the_hosts_reduction) {
  for (const std::int64_t count : {1, 3, 4, 5, 255, 256, 1023, 1024, 4099}) {
    const std::int64_t slot = (count + 3) / 4 * 4;
    for (const int own : {0, 2, 3}) {
      check<TypeParam>({.count = count, .slot_elements = slot, .own_rank = own});
      check<TypeParam>({.count = count, .slot_elements = slot, .own_rank = own, .in_place = true});
    }
  }
}

TYPED_TEST(RankOrderSum, takes_memory_that_is_not_aligned_to_packs) {
  check<TypeParam>({.count = 1001, .slot_elements = 1001, .own_rank = 1});
  check<TypeParam>({.count = 1001, .slot_elements = 1004, .own_rank = 1, .first = 1});
}

TEST(RankOrderSumKernel, goes_on_beyond_what_its_blocks_hold_at_once) {
  const std::int64_t count = 1024 * 256 * 2 + 5;
  check<double>({.count = count, .slot_elements = count + 1, .own_rank = 1});
}

TEST(RankOrderSumKernel, a_nan_wins) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int holder = 0; holder < kRanks; ++holder) {
    std::vector<std::vector<float>> values(kRanks, {1.0F, 2.0F});
    values[static_cast<std::size_t>(holder)][0] = nan;
    for (const Reduction reduction : {Reduction::kSum, Reduction::kMin, Reduction::kMax}) {
      const auto got = reduced_on_device<float>({.count = 2, .slot_elements = 4, .own_rank = 1},
                                                reduction, values);
      EXPECT_TRUE(std::isnan(got[0])) << "holder " << holder;
      EXPECT_FALSE(std::isnan(got[1]));
    }
  }
}

TEST(RankOrderSumKernel, nothing_to_reduce_launches_nothing) {
  const auto launches = launches_so_far();
  gpu::rank_order_sum({}, nullptr);
  EXPECT_EQ(launches_so_far(), launches);
}

}  // namespace
}  // namespace hetmoe::test
