#include "parallel/ownership/dense_partition.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

namespace hetmoe {
namespace {

std::int64_t total_elements(const std::vector<TensorSpec>& specs) {
  std::int64_t total = 0;
  for (const TensorSpec& spec : specs) total += spec.elements();
  return total;
}

std::set<std::int64_t> row_boundaries(const std::vector<TensorSpec>& specs) {
  std::set<std::int64_t> boundaries = {0};
  std::int64_t offset = 0;
  for (const TensorSpec& spec : specs) {
    for (std::int64_t row = 0; row < spec.rows; ++row) {
      boundaries.insert(offset += spec.columns);
    }
  }
  return boundaries;
}

std::int64_t longest_row(const std::vector<TensorSpec>& specs) {
  std::int64_t longest = 0;
  for (const TensorSpec& spec : specs) longest = std::max(longest, spec.columns);
  return longest;
}

/// Where water poured over the slices would stand, by bisection.
double water_level(const std::vector<std::int64_t>& slices, std::int64_t dense) {
  double low = 0;
  double high = static_cast<double>(*std::max_element(slices.begin(), slices.end()) + dense);
  for (int i = 0; i < 200; ++i) {
    const double level = (low + high) / 2;
    double poured = 0;
    for (const std::int64_t own : slices) poured += std::max(0.0, level - static_cast<double>(own));
    (poured < static_cast<double>(dense) ? low : high) = level;
  }
  return high;
}

void expect_even(const std::vector<TensorSpec>& specs, const std::vector<std::int64_t>& slices) {
  const auto cuts = partition_dense(specs, slices);
  const std::int64_t total = total_elements(specs);
  const auto boundaries = row_boundaries(specs);
  ASSERT_EQ(cuts.size(), slices.size() + 1);
  EXPECT_EQ(cuts.front(), 0);
  EXPECT_EQ(cuts.back(), total);
  EXPECT_TRUE(std::is_sorted(cuts.begin(), cuts.end()));
  const double level = water_level(slices, total);
  for (std::size_t rank = 0; rank < slices.size(); ++rank) {
    EXPECT_TRUE(boundaries.contains(cuts[rank + 1])) << "cut " << cuts[rank + 1];
    const double wanted = std::max(0.0, level - static_cast<double>(slices[rank]));
    EXPECT_NEAR(static_cast<double>(cuts[rank + 1] - cuts[rank]), wanted,
                static_cast<double>(longest_row(specs)) + 1)
        << "rank " << rank << " of " << slices.size() << ", level " << level;
  }
}

std::vector<TensorSpec> random_specs(std::mt19937& random) {
  std::vector<TensorSpec> specs(1 + random() % 9);
  for (TensorSpec& spec : specs) {
    spec.is_matrix = random() % 3 != 0;
    spec.rows = 1 + random() % 40;
    spec.columns = spec.is_matrix ? 1 + random() % 30 : 1;
  }
  return specs;
}

TEST(PartitionDense, OwnersStandAtTheWaterLevelWithinOneRow) {
  std::mt19937 random(5);
  for (int instance = 0; instance < 500; ++instance) {
    const auto specs = random_specs(random);
    std::vector<std::int64_t> slices(1 + random() % 5);
    for (std::int64_t& own : slices) own = random() % 4 == 0 ? 0 : random() % 3000;
    SCOPED_TRACE("instance " + std::to_string(instance));
    expect_even(specs, slices);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(PartitionDense, ARankAboveTheLevelOwnsNothingDense) {
  const std::vector<TensorSpec> specs = {{"a", 100, 10}, {"b", 7, 1, false}};
  for (std::size_t heavy = 0; heavy < 4; ++heavy) {
    std::vector<std::int64_t> slices(4, 50);
    slices[heavy] = 100000;
    expect_even(specs, slices);
    const auto cuts = partition_dense(specs, slices);
    EXPECT_LE(cuts[heavy + 1] - cuts[heavy], 10) << heavy;
  }
}

TEST(PartitionDense, OneRankOwnsEverything) {
  const std::vector<TensorSpec> specs = {{"a", 3, 5}};
  EXPECT_EQ(partition_dense(specs, std::vector<std::int64_t>{0}),
            (std::vector<std::int64_t>{0, 15}));
}

TEST(PartitionDense, MoreRanksThanRowsLeavesSomeWithNothing) {
  const std::vector<TensorSpec> specs = {{"a", 2, 8}};
  expect_even(specs, {0, 0, 0, 0, 0});
}

}  // namespace
}  // namespace hetmoe
