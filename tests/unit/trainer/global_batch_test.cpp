#include "runtime/trainer/global_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

#include "parallel/agreement.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(PlacesOfRank, EightOverThreeIsThreeThreeTwo) {
  EXPECT_THAT(places(places_of_rank({0, 8}, 0, 3)), ElementsAre(0, 1, 2));
  EXPECT_THAT(places(places_of_rank({0, 8}, 1, 3)), ElementsAre(3, 4, 5));
  EXPECT_THAT(places(places_of_rank({0, 8}, 2, 3)), ElementsAre(6, 7));
}

TEST(PlacesOfRank, FewerPlacesThanRanksLeavesTheLastEmpty) {
  EXPECT_THAT(places(places_of_rank({10, 2}, 0, 4)), ElementsAre(10));
  EXPECT_THAT(places(places_of_rank({10, 2}, 1, 4)), ElementsAre(11));
  EXPECT_THAT(places(places_of_rank({10, 2}, 2, 4)), IsEmpty());
  EXPECT_THAT(places(places_of_rank({10, 2}, 3, 4)), IsEmpty());
}

TEST(PlacesOfRank, EveryPlaceGoesToExactlyOneRankInOrder) {
  for (std::int64_t count = 0; count < 20; ++count) {
    for (int ranks = 1; ranks < 8; ++ranks) {
      std::int64_t next = 5;
      for (int rank = 0; rank < ranks; ++rank) {
        const PlaceRange range = places_of_rank({5, count}, rank, ranks);
        EXPECT_EQ(range.first, next);
        EXPECT_LE(range.count, (count + ranks - 1) / ranks);
        EXPECT_GE(range.count, count / ranks);
        next += range.count;
      }
      EXPECT_EQ(next, 5 + count) << count << " places, " << ranks << " ranks";
    }
  }
}

using Weights = std::vector<std::int64_t>;

TEST(PlacesByWeight, LargestRemaindersTakeWhatIsLeft) {
  const auto counts = [](std::int64_t count, const Weights& weights) {
    Weights list;
    for (int rank = 0; rank < static_cast<int>(weights.size()); ++rank) {
      list.push_back(places_of_rank({3, count}, rank, weights).count);
    }
    return list;
  };
  EXPECT_THAT(counts(8, {1, 3}), ElementsAre(2, 6));
  EXPECT_THAT(counts(7, {1, 3}), ElementsAre(2, 5));         // 1.75, 5.25
  EXPECT_THAT(counts(1, {1, 3}), ElementsAre(0, 1));         // 0.25, 0.75
  EXPECT_THAT(counts(2, {1, 3}), ElementsAre(1, 1));         // 0.5, 1.5: the lower rank first
  EXPECT_THAT(counts(10, {2, 3, 7}), ElementsAre(2, 2, 6));  // 1.67, 2.5, 5.83
  EXPECT_THAT(counts(5, {0, 1, 0, 1}), ElementsAre(0, 3, 0, 2));
  EXPECT_THAT(counts(0, {1, 3}), ElementsAre(0, 0));
  EXPECT_THAT(counts(3, {1000000, 1}), ElementsAre(3, 0));
}

TEST(PlacesByWeight, AreInRankOrderCompleteAndWithinOneOfTheirPart) {
  std::mt19937 random(5);
  for (int instance = 0; instance < 2000; ++instance) {
    Weights weights(1 + random() % 9);
    for (auto& weight : weights) weight = random() % 3 == 0 ? 0 : random() % 1000001;
    weights[random() % weights.size()] = 1 + random() % 10;
    const std::int64_t sum = std::accumulate(weights.begin(), weights.end(), std::int64_t{0});
    const auto count = static_cast<std::int64_t>(random() % (instance % 2 == 0 ? 12 : 1 << 24));
    std::int64_t next = 5;
    for (int rank = 0; rank < static_cast<int>(weights.size()); ++rank) {
      const PlaceRange range = places_of_rank({5, count}, rank, weights);
      EXPECT_EQ(range.first, next);
      const double part = static_cast<double>(count) * static_cast<double>(weights[rank]) /
                          static_cast<double>(sum);
      EXPECT_LT(std::abs(static_cast<double>(range.count) - part), 1.0);
      EXPECT_TRUE(weights[rank] > 0 || range.count == 0);
      next += range.count;
    }
    EXPECT_EQ(next, 5 + count);
  }
}

TEST(PlacesByWeight, OfEqualWeightsAreThoseWithoutWeights) {
  for (std::int64_t count = 0; count < 20; ++count) {
    for (int ranks = 1; ranks < 8; ++ranks) {
      const Weights weights(ranks, 4);
      for (int rank = 0; rank < ranks; ++rank) {
        EXPECT_EQ(places(places_of_rank({5, count}, rank, weights)),
                  places(places_of_rank({5, count}, rank, ranks)));
      }
    }
  }
}

TEST(SourceWeights, AreTheConfiguredOnesElseThoseOfTheWorkload) {
  RunConfig config;
  EXPECT_THAT(source_weights(config, 3), ElementsAre(1, 1, 1));
  config.model.router.forced = "W3";
  EXPECT_THAT(source_weights(config, 3), ElementsAre(1, 1, 1));
  config.model.router.forced = "W4";
  EXPECT_THAT(source_weights(config, 3), ElementsAre(1, 3, 1));
  config.model.router.forced = "W5";
  EXPECT_THAT(source_weights(config, 3), ElementsAre(1, 0, 1));
  config.train.source_weights = {2, 0, 5};
  EXPECT_THAT(source_weights(config, 3), ElementsAre(2, 0, 5));
}

TEST(SourceWeights, OfAnotherNumberOfRanksAreRefused) {
  RunConfig config;
  config.train.source_weights = {1, 3};
  try {
    source_weights(config, 3);
    FAIL() << "two weights for three ranks";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.exit_code(), ExitCode::kConfiguration);
    EXPECT_STREQ(error.what(),
                 "train.source_weights: 2 numbers, allowed: 3, one for each rank, or none");
  }
}

}  // namespace
}  // namespace hetmoe
