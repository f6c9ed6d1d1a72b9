#include "parallel/placement/owned_slices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <tuple>

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// Two ranks: an expert on one, an expert cut between both, an expert on both.
const LayerPlacement kMixed{
    {{0, 1, 0, 5}, {1, 0, 0, 3}, {1, 1, 3, 7}, {2, 0, 0, 4, 0.5}, {2, 1, 0, 4, 0.5}}};

TEST(OwnedSlices, OfSeveralGroupsEachOwnsAnEqualRun) {
  const LayerPlacement two{{{0, 0, 0, 5}, {1, 1, 0, 1}}};
  EXPECT_THAT(owned_slices(two, 7, {2, 2}),
              ElementsAre(OwnedSlice{{7, 0, 0, 2}, 0}, OwnedSlice{{7, 0, 2, 5}, 2},
                          OwnedSlice{{7, 1, 0, 1}, 3}))
      << "a row alone goes to the last group";
}

TEST(OwnedRows, CountEveryRowOnce) {
  const Placement placement{{kMixed, kMixed}};
  EXPECT_THAT(owned_rows(placement, {2, 1}), ElementsAre(2 * (3 + 4), 2 * (5 + 4)));
  // Runs of 2, 1, 2, 2 rows in the first group and 3, 2, 2, 2 in the second.
  EXPECT_THAT(owned_rows(placement, {2, 2}),
              ElementsAre(2 * (1 + 2), 2 * (2 + 2), 2 * (2 + 2), 2 * (3 + 2)));
  EXPECT_THAT(owned_rows(placement, {3, 1}), ElementsAre(14, 18, 0));
}

TEST(SharedRows, AreNoneWhereEveryRowIsHeldOnce) {
  const LayerPlacement once{{{0, 1, 0, 5}, {1, 0, 0, 3}}};
  EXPECT_THAT(shared_rows(once, {2, 1}), IsEmpty());
}

TEST(SharedRows, AreTheCopiesOfReplicas) {
  EXPECT_THAT(shared_rows(kMixed, {2, 1}), ElementsAre(SharedRows{2, 0, 4, 0, 1}));
}

/// Against a search over all rows, ranks and slices.
TEST(SharedRows, AreEveryHolderButTheOwner) {
  for (const ExpertGroups groups : {ExpertGroups{2, 1}, ExpertGroups{2, 2}, ExpertGroups{2, 3}}) {
    using Copy = std::tuple<int, std::int64_t, int, int>;  // expert, row, owner, holder
    std::set<Copy> expected, found;
    std::map<std::pair<int, std::int64_t>, int> owner_of;
    for (const auto& [slice, owner] : owned_slices(kMixed, 0, groups)) {
      for (std::int64_t row = slice.begin; row < slice.end; ++row) {
        EXPECT_TRUE(owner_of.emplace(std::pair{slice.expert, row}, owner).second);
      }
    }
    for (const PlacedSlice& slice : kMixed.slices) {
      for (std::int64_t row = slice.begin; row < slice.end; ++row) {
        for (int group = 0; group < groups.count; ++group) {
          const int holder = groups.rank_of(group, slice.rank);
          const int owner = owner_of.at({slice.expert, row});
          if (holder != owner) expected.emplace(slice.expert, row, owner, holder);
        }
      }
    }
    for (const SharedRows& shared : shared_rows(kMixed, groups)) {
      for (std::int64_t row = shared.begin; row < shared.end; ++row) {
        EXPECT_TRUE(found.emplace(shared.expert, row, shared.owner, shared.holder).second);
      }
    }
    EXPECT_EQ(found, expected) << groups.count << " groups";
  }
}

}  // namespace
}  // namespace hetmoe
