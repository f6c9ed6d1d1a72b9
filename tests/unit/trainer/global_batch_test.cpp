#include "runtime/trainer/global_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace hetmoe
