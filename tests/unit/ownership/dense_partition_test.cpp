#include "parallel/ownership/dense_partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

namespace hetmoe {
namespace {

using testing::ElementsAre;

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

double part_at_level(const std::vector<std::int64_t>& slices, std::size_t rank,
                     std::int64_t dense) {
  return std::max(0.0, water_level(slices, dense) - static_cast<double>(slices[rank]));
}

/// Every bucket is one block, cut at rows; together they are all tensors.
void expect_buckets_of_blocks(const std::vector<TensorSpec>& specs,
                              const std::vector<DenseBucket>& buckets, std::size_t ranks) {
  const auto boundaries = row_boundaries(specs);
  std::int64_t offset = 0;
  auto spec = specs.begin();
  for (const DenseBucket& bucket : buckets) {
    EXPECT_EQ(bucket.begin, offset);
    ASSERT_EQ(bucket.counts.size(), ranks);
    for (; spec != specs.end() && spec->block == bucket.block; ++spec) offset += spec->elements();
    for (int rank = 0; rank <= static_cast<int>(ranks); ++rank) {
      EXPECT_TRUE(boundaries.contains(bucket.begin_of(rank))) << bucket.begin_of(rank);
    }
    EXPECT_TRUE(std::all_of(bucket.counts.begin(), bucket.counts.end(),
                            [](std::int64_t count) { return count >= 0; }));
    EXPECT_EQ(bucket.begin + bucket.elements(), offset);
  }
  EXPECT_EQ(spec, specs.end()) << "a block is missing";
}

void expect_even(const std::vector<TensorSpec>& specs, const std::vector<std::int64_t>& slices) {
  const auto buckets = partition_dense(specs, slices);
  expect_buckets_of_blocks(specs, buckets, slices.size());
  const std::int64_t total = total_elements(specs);
  const auto owned = owned_dense_elements(buckets);
  ASSERT_EQ(owned.size(), slices.size());
  EXPECT_EQ(std::reduce(owned.begin(), owned.end()), total);
  for (std::size_t rank = 0; rank < slices.size(); ++rank) {
    EXPECT_NEAR(static_cast<double>(owned[rank]), part_at_level(slices, rank, total),
                1.5 * static_cast<double>(longest_row(specs)) + 1)
        << "rank " << rank << " of " << slices.size();
  }
}

std::vector<TensorSpec> random_specs(std::mt19937& random) {
  std::vector<TensorSpec> specs(1 + random() % 12);
  int block = kEmbeddingBlock;
  for (TensorSpec& spec : specs) {
    spec.is_matrix = random() % 3 != 0;
    spec.rows = 1 + random() % 40;
    spec.columns = spec.is_matrix ? 1 + random() % 30 : 1;
    spec.block = block;
    block += static_cast<int>(random() % 2);
  }
  return specs;
}

TEST(PartitionDense, OwnersStandAtTheWaterLevelWithinAboutOneRow) {
  std::mt19937 random(5);
  for (int instance = 0; instance < 1000; ++instance) {
    const auto specs = random_specs(random);
    std::vector<std::int64_t> slices(1 + random() % 5);
    for (std::int64_t& own : slices) own = random() % 4 == 0 ? 0 : random() % 3000;
    SCOPED_TRACE("instance " + std::to_string(instance));
    expect_even(specs, slices);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(PartitionDense, EveryRankHasItsShareOfEveryBucket) {
  ModelConfig model;
  model.num_layers = 5;
  const auto specs = dense_tensor_specs(model);
  const std::vector<std::int64_t> slices = {0, 500'000, 1'000'000};
  const std::int64_t total = total_elements(specs);
  for (const DenseBucket& bucket : partition_dense(specs, slices)) {
    for (std::size_t rank = 0; rank < slices.size(); ++rank) {
      const double share = part_at_level(slices, rank, total) / static_cast<double>(total);
      EXPECT_NEAR(static_cast<double>(bucket.counts[rank]),
                  share * static_cast<double>(bucket.elements()),
                  2.0 * static_cast<double>(longest_row(specs)))
          << "block " << bucket.block << ", rank " << rank;
    }
  }
}

TEST(PartitionDense, ARankAboveTheLevelOwnsNothingDense) {
  const std::vector<TensorSpec> specs = {{"a", 100, 10}, {"b", 7, 1, false, {}, 1}};
  for (std::size_t heavy = 0; heavy < 4; ++heavy) {
    std::vector<std::int64_t> slices(4, 50);
    slices[heavy] = 100000;
    expect_even(specs, slices);
    EXPECT_LE(owned_dense_elements(partition_dense(specs, slices))[heavy], 10) << heavy;
  }
}

TEST(PartitionDense, OneRankOwnsEverything) {
  const std::vector<TensorSpec> specs = {{"a", 3, 5}, {"b", 2, 1, false, {}, 1}};
  EXPECT_THAT(partition_dense(specs, std::vector<std::int64_t>{0}),
              ElementsAre(DenseBucket{0, 0, {15}}, DenseBucket{1, 15, {2}}));
}

TEST(PartitionDense, MoreRanksThanRowsLeavesSomeWithNothing) {
  const std::vector<TensorSpec> specs = {{"a", 2, 8}};
  expect_even(specs, {0, 0, 0, 0, 0});
}

/// Masters and moments count by owned element, so their bytes are as even as these.
TEST(PartitionDense, OptimizerStateOfARankIsOneNthOfTheWhole) {
  ModelConfig model;
  model.num_layers = 2;
  model.hidden_size = 64;
  model.vocab_size = 512;
  const auto specs = dense_tensor_specs(model);
  const std::int64_t dense = total_elements(specs);
  for (const int ranks : {1, 2, 4}) {
    std::vector<std::int64_t> slices(static_cast<std::size_t>(ranks));
    for (int rank = 0; rank < ranks; ++rank) slices[rank] = 8000 * rank + 37;
    const std::int64_t all = dense + std::reduce(slices.begin(), slices.end());
    const auto owned = owned_dense_elements(partition_dense(specs, slices));
    for (int rank = 0; rank < ranks; ++rank) {
      EXPECT_NEAR(static_cast<double>(owned[rank] + slices[rank]) * ranks / all, 1.0, 0.05);
    }
  }
}

TEST(DenseTransfers, BringEveryElementFromItsOwnerBeforeToItsOwnerAfter) {
  std::mt19937 random(6);
  const auto owner_of = [](const DenseBucket& bucket, std::int64_t element) {
    int rank = 0;
    while (bucket.begin_of(rank + 1) <= element) ++rank;
    return rank;
  };
  for (int instance = 0; instance < 100; ++instance) {
    const auto specs = random_specs(random);
    std::vector<std::int64_t> slices(1 + random() % 5), others(slices.size());
    for (std::int64_t& own : slices) own = random() % 900;
    for (std::int64_t& own : others) own = random() % 900;
    const auto before = partition_dense(specs, slices), after = partition_dense(specs, others);
    std::vector<std::int64_t> met(static_cast<std::size_t>(total_elements(specs)), 0);
    for (const RowTransfer& transfer : dense_transfers(before, after)) {
      for (std::int64_t element = transfer.begin; element < transfer.end; ++element) {
        EXPECT_EQ(transfer.from, owner_of(before[transfer.expert], element));
        EXPECT_EQ(transfer.to, owner_of(after[transfer.expert], element));
        ++met[element];
      }
    }
    EXPECT_THAT(met, testing::Each(1)) << instance;
  }
}

std::vector<DenseBucket> buckets_of(std::initializer_list<int> blocks) {
  std::vector<DenseBucket> buckets;
  for (const int block : blocks) buckets.push_back({.block = block, .begin = 0, .counts = {1}});
  return buckets;
}

TEST(Blocks, AreNeededEmbeddingFirstAndTheHypernetworkAfterLayerZero) {
  EXPECT_THAT(blocks_by_need(buckets_of({-1, 0, 1, 2, 3, 4}), 3), ElementsAre(-1, 0, 4, 1, 2, 3));
  EXPECT_THAT(blocks_by_need(buckets_of({-1, 0, 1, 2}), 2), ElementsAre(-1, 0, 1, 2));
}

TEST(Blocks, AreCompleteHeadFirstAndTheHypernetworkAfterTheLayers) {
  EXPECT_THAT(blocks_by_completion(buckets_of({-1, 0, 1, 2, 3, 4}), 3),
              ElementsAre(3, 2, 1, 0, 4, -1));
  EXPECT_THAT(blocks_by_completion(buckets_of({-1, 0, 1, 2}), 2), ElementsAre(2, 1, 0, -1));
}

}  // namespace
}  // namespace hetmoe
