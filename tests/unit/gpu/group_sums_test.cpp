#include "core/kernels/gpu/group_sums.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/unit/gpu/device_array.h"
#include "tests/unit/gpu/elements.h"

namespace hetmoe::test {
namespace {

// One element; odd; packs of both types; more than a block's threads take at once, odd and packed.
const std::vector<std::int64_t> kColumns = {1, 37, 64, 301, 2056};

std::vector<std::int64_t> begin_of(const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> begin = {0};
  for (const std::int64_t size : sizes) begin.push_back(begin.back() + size);
  return begin;
}

template <typename T>
std::vector<float> sums_on_device(const std::vector<T>& x, const std::vector<std::int64_t>& sizes,
                                  std::int64_t columns, const std::vector<float>* before) {
  const gpu::LineTables tables(begin_of(sizes));
  const DeviceArray<std::int32_t> line_row(tables.line_row), group_line(tables.group_line);
  const DeviceArray<T> device_x(x);
  return same_in_any_turns([&] {
    const std::size_t count = sizes.size() * static_cast<std::size_t>(columns);
    const DeviceArray<float> sums =
        before != nullptr ? DeviceArray<float>(*before) : DeviceArray<float>(count);
    const DeviceArray<float> scratch(static_cast<std::size_t>(tables.lines() * columns));
    gpu::group_sums<T>(device_x.get(),
                       {.line_row = line_row.get(),
                        .group_line = group_line.get(),
                        .lines = tables.lines(),
                        .groups = static_cast<std::int64_t>(sizes.size())},
                       columns, before != nullptr, sums.get(), scratch.get(), nullptr);
    return sums.values();
  });
}

template <typename T>
void check_sums(const std::vector<std::int64_t>& sizes, std::int64_t columns, bool adds) {
  const std::vector<std::int64_t> begin = begin_of(sizes);
  const auto x = random_elements<T>(static_cast<std::size_t>(begin.back() * columns));
  const auto before = random_elements<float>(sizes.size() * static_cast<std::size_t>(columns), 5);
  const std::vector<float> got = sums_on_device(x, sizes, columns, adds ? &before : nullptr);
  for (std::size_t at = 0; at < got.size(); ++at) {
    const std::size_t group = at / static_cast<std::size_t>(columns);
    const auto column = static_cast<std::int64_t>(at) % columns;
    double expected = adds ? before[at] : 0;
    double scale = 1;
    for (std::int64_t row = begin[group]; row < begin[group + 1]; ++row) {
      const double value = real(x[static_cast<std::size_t>(row * columns + column)]);
      expected += value;
      scale += std::abs(value);
    }
    ASSERT_NEAR(got[at], expected, 1e-6 * scale) << "group " << group << ", column " << column;
  }
}

TEST(GpuGroupSums, rows_of_every_group_are_added_and_those_of_no_other) {
  for (const std::int64_t columns : kColumns) {
    for (const bool adds : {false, true}) {
      // Empty ones at both ends and between; lines that are full, begun, and one too many.
      check_sums<float>({0, 3, 0, 0, 64, 1, 65, 0}, columns, adds);
      check_sums<gpu::BFloat16Bits>({0, 3, 0, 0, 64, 1, 65, 0}, columns, adds);
    }
  }
  check_sums<gpu::BFloat16Bits>({1000}, 40, true);
}

TEST(GpuGroupSums, groups_without_rows_are_zero_or_stay) {
  for (const bool adds : {false, true}) check_sums<float>({0, 0, 0}, 5, adds);
}

TEST(GpuGroupSums, rows_that_are_not_aligned_are_read_element_by_element) {
  const auto x = random_elements<float>(9);
  const DeviceArray<float> device_x(x);
  const gpu::LineTables tables(begin_of({2}));
  const DeviceArray<std::int32_t> line_row(tables.line_row), group_line(tables.group_line);
  const DeviceArray<float> sums(4), scratch(4);
  gpu::group_sums<float>(
      device_x.get() + 1,
      {.line_row = line_row.get(), .group_line = group_line.get(), .lines = 1, .groups = 1}, 4,
      false, sums.get(), scratch.get(), nullptr);
  for (std::size_t column = 0; column < 4; ++column) {
    EXPECT_EQ(sums.values()[column], x[column + 1] + x[column + 5]);
  }
}

TEST(GpuGroupSums, no_groups_and_no_rows_to_add_launch_nothing) {
  const std::uint64_t before = launches_so_far();
  float* none = nullptr;
  gpu::group_sums<float>(none, {}, 8, false, none, none, nullptr);
  gpu::group_sums<float>(none, {.groups = 3}, 8, true, none, none, nullptr);
  EXPECT_EQ(launches_so_far(), before);
}

}  // namespace
}  // namespace hetmoe::test
