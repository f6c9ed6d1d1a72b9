#include "parallel/placement/held_slices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

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

TEST(HeldSlices, TheLowestRankOwnsReplicasAndTheyStandAlone) {
  LayerPlacement placement;
  placement.slices = {{0, 0, 0, 4}, {0, 1, 4, 8, 0.25}, {0, 2, 4, 8, 0.75}, {0, 2, 8, 9}};
  EXPECT_THAT(held_slices(placement, 3, 0), ElementsAre(HeldSlice{{3, 0, 0, 4}, 0, 1}));
  EXPECT_THAT(held_slices(placement, 3, 1), ElementsAre(HeldSlice{{3, 0, 4, 8}, 1, 0.25}));
  EXPECT_THAT(held_slices(placement, 3, 2),
              ElementsAre(HeldSlice{{3, 0, 4, 8}, 1, 0.75}, HeldSlice{{3, 0, 8, 9}, 2, 1}));
}

}  // namespace
}  // namespace hetmoe
