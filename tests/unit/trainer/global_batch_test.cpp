#include "runtime/trainer/global_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/trainer/initial_plan.h"

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

TEST(SlicesOfRank, TakesThisRanksSlicesAndMergesNeighbours) {
  Placement placement;
  placement.layers.resize(2);
  placement.layers[0].slices = {{0, 1, 0, 4}, {0, 1, 4, 9}, {1, 0, 0, 2}, {1, 1, 2, 5}};
  placement.layers[1].slices = {{0, 1, 0, 3}, {0, 0, 3, 6}, {0, 1, 6, 9}, {1, 0, 0, 5}};
  EXPECT_THAT(slices_of_rank(placement, 0),
              ElementsAre(Slice{0, 1, 0, 2}, Slice{1, 0, 3, 6}, Slice{1, 1, 0, 5}));
  EXPECT_THAT(slices_of_rank(placement, 1), ElementsAre(Slice{0, 0, 0, 9}, Slice{0, 1, 2, 5},
                                                        Slice{1, 0, 0, 3}, Slice{1, 0, 6, 9}));
  EXPECT_THAT(slices_of_rank(placement, 2), IsEmpty());
}

}  // namespace
}  // namespace hetmoe
