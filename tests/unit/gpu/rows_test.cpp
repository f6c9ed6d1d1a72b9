#include "core/kernels/gpu/rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/unit/gpu/device_array.h"
#include "tests/unit/gpu/elements.h"

namespace hetmoe::test {
namespace {

using Indices = std::vector<std::int32_t>;

// One element; odd; packs of both types; more than a block's threads take at once, odd and packed.
const std::vector<std::int64_t> kColumns = {1, 37, 64, 301, 2056};

template <typename T>
std::vector<T> rows_of(const std::vector<T>& x, const Indices& index, std::int64_t columns) {
  std::vector<T> rows;
  for (const std::int32_t row : index) {
    rows.insert(rows.end(), x.begin() + row * columns, x.begin() + (row + 1) * columns);
  }
  return rows;
}

template <typename T>
void check_gather(const Indices& index, std::int64_t columns) {
  const auto x = random_elements<T>(static_cast<std::size_t>(9 * columns));
  const DeviceArray<T> device_x(x);
  const DeviceArray<std::int32_t> device_index(index);
  const auto count = static_cast<std::int64_t>(index.size());
  const auto got = same_in_any_turns([&] {
    const DeviceArray<T> out(static_cast<std::size_t>(count * columns));
    gpu::gather_rows(device_x.get(), device_index.get(), out.get(), count, columns, nullptr);
    return out.values();
  });
  EXPECT_TRUE(same_bits(got, rows_of(x, index, columns))) << columns;
}

TEST(GpuRows, rows_are_taken_by_index) {
  for (const std::int64_t columns : kColumns) {
    check_gather<float>({4, 0, 8, 4, 7}, columns);
    check_gather<gpu::BFloat16Bits>({4, 0, 8, 4, 7}, columns);
    check_gather<gpu::BFloat16Bits>({3}, columns);
  }
}

template <typename T>
void check_scatter(const Indices& index, std::int64_t columns) {
  const auto x = random_elements<T>(index.size() * static_cast<std::size_t>(columns));
  const auto before = random_elements<T>(static_cast<std::size_t>(9 * columns), 1, 5);
  const DeviceArray<T> device_x(x);
  const DeviceArray<std::int32_t> device_index(index);
  const auto got = same_in_any_turns([&] {
    const DeviceArray<T> target(before);
    gpu::scatter_rows(device_x.get(), device_index.get(), target.get(),
                      static_cast<std::int64_t>(index.size()), columns, nullptr);
    return target.values();
  });
  EXPECT_TRUE(same_bits(rows_of(got, index, columns), x)) << columns;
  for (std::int32_t row = 0; row < 9; ++row) {
    if (std::find(index.begin(), index.end(), row) != index.end()) continue;
    EXPECT_TRUE(same_bits(rows_of(got, {row}, columns), rows_of(before, {row}, columns))) << row;
  }
}

TEST(GpuRows, rows_are_put_by_index_and_others_stay) {
  for (const std::int64_t columns : kColumns) {
    check_scatter<float>({4, 0, 8, 7}, columns);
    check_scatter<gpu::BFloat16Bits>({4, 0, 8, 7}, columns);
    check_scatter<gpu::BFloat16Bits>({5}, columns);
  }
}

struct Sums {
  Indices positions;
  std::int64_t capacity;
  std::int64_t count() const { return static_cast<std::int64_t>(positions.size()) / capacity; }
};
const Sums kThree = {{2, 5, -1, 0, -1, -1, -1, -1, -1, 6, 1, 3, -1, -1, 4}, 3};

/// In fp32, as the kernel must, so that the result is the same to the bit.
template <typename T>
T expected_sum(const std::vector<T>& x, const std::vector<T>& plus, const Sums& sums,
               std::int64_t row, std::int64_t column, std::int64_t columns) {
  float sum = 0;
  for (std::int64_t entry = 0; entry < sums.capacity; ++entry) {
    const std::int64_t position =
        sums.positions[static_cast<std::size_t>(row * sums.capacity + entry)];
    if (position < 0) continue;
    sum += static_cast<float>(real(x[static_cast<std::size_t>(position * columns + column)]));
  }
  if (!plus.empty()) {
    sum += static_cast<float>(real(plus[static_cast<std::size_t>(row * columns + column)]));
  }
  return element<T>(sum);
}

template <typename T>
void check_sums(const Sums& sums, std::int64_t columns, bool with_plus) {
  const auto x = random_elements<T>(static_cast<std::size_t>(7 * columns), 1e3);
  const auto size = static_cast<std::size_t>(sums.count() * columns);
  const auto plus = random_elements<T>(with_plus ? size : 0, 1, 3);
  const DeviceArray<T> device_x(x);
  const DeviceArray<T> device_plus(plus);
  const DeviceArray<std::int32_t> positions(sums.positions);
  const auto got = same_in_any_turns([&] {
    const DeviceArray<T> out(size);
    gpu::sum_rows<T>(
        device_x.get(),
        {.positions = positions.get(), .sums = sums.count(), .capacity = sums.capacity},
        with_plus ? device_plus.get() : nullptr, out.get(), columns, nullptr);
    return out.values();
  });
  std::vector<T> expected;
  for (std::int64_t row = 0; row < sums.count(); ++row) {
    for (std::int64_t column = 0; column < columns; ++column) {
      expected.push_back(expected_sum(x, plus, sums, row, column, columns));
    }
  }
  EXPECT_TRUE(same_bits(got, expected)) << columns;
}

TEST(GpuRows, sums_are_added_in_order_and_rounded_once) {
  for (const std::int64_t columns : kColumns) {
    for (const bool with_plus : {false, true}) {
      check_sums<float>(kThree, columns, with_plus);
      check_sums<gpu::BFloat16Bits>(kThree, columns, with_plus);
      check_sums<float>({{6, 2}, 2}, columns, with_plus);
    }
  }
}

TEST(GpuRows, sums_may_take_the_place_of_what_is_added_to_them) {
  const DeviceArray<float> x(std::vector<float>{1, 2, 3, 4});
  const DeviceArray<float> sums(std::vector<float>{10, 20});
  const DeviceArray<std::int32_t> positions(Indices{1, 0});
  gpu::sum_rows<float>(x.get(), {.positions = positions.get(), .sums = 1, .capacity = 2},
                       sums.get(), sums.get(), 2, nullptr);
  EXPECT_EQ(sums.values(), (std::vector<float>{14, 26}));
}

TEST(GpuRows, a_buffer_that_is_not_aligned_is_read_element_by_element) {
  const auto x = random_elements<gpu::BFloat16Bits>(65);
  const DeviceArray<gpu::BFloat16Bits> device_x(x);
  const DeviceArray<gpu::BFloat16Bits> out(64);
  const DeviceArray<std::int32_t> index(Indices{0});
  gpu::gather_rows(device_x.get() + 1, index.get(), out.get(), 1, 64, nullptr);
  EXPECT_TRUE(same_bits(out.values(), {x.begin() + 1, x.end()}));
}

TEST(GpuRows, no_rows_launch_nothing) {
  const std::uint64_t before = launches_so_far();
  float* none = nullptr;
  gpu::gather_rows(none, nullptr, none, 0, 8, nullptr);
  gpu::scatter_rows(none, nullptr, none, 0, 8, nullptr);
  gpu::sum_rows<float>(none, {}, none, none, 8, nullptr);
  EXPECT_EQ(launches_so_far(), before);
}

}  // namespace
}  // namespace hetmoe::test
