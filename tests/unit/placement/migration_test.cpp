#include "parallel/placement/migration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <utility>

#include "parallel/placement/planner.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;

using Row = std::pair<int, std::int64_t>;  // expert, row

/// Who owns each row, by looking at every slice.
std::map<Row, int> owners(const LayerPlacement& placement) {
  std::map<Row, int> owner;
  for (const PlacedSlice& slice : placement.slices) {
    for (std::int64_t row = slice.begin; row < slice.end; ++row) {
      const auto [known, is_new] = owner.emplace(Row{slice.expert, row}, slice.rank);
      if (!is_new) known->second = std::min(known->second, slice.rank);
    }
  }
  return owner;
}

LayerPlacement planned(std::mt19937& random, int ranks) {
  PlanProblem problem{.hidden_size = 8, .ranks = ranks, .granularity = 4};
  PlanLayer layer{.widths = {40, 24, 7, 100, 64}, .tokens = {}};
  for (std::size_t i = 0; i < layer.widths.size(); ++i) layer.tokens.push_back(random() % 100);
  problem.layers = {layer};
  problem.memory_cap_ratio = 3;
  return plan(problem, PlanStrategy::kSlices).placement.layers[0];
}

TEST(RowTransfers, BringEveryRowFromItsOwnerBeforeToItsOwnerAfter) {
  std::mt19937 random(1);
  for (int ranks = 1; ranks <= 7; ++ranks) {
    for (int trial = 0; trial < 20; ++trial) {
      const LayerPlacement before = planned(random, ranks), after = planned(random, ranks);
      const auto owner_before = owners(before), owner_after = owners(after);
      std::map<Row, int> seen;
      std::int64_t moving = 0;
      for (const RowTransfer& transfer : row_transfers(before, after)) {
        for (std::int64_t row = transfer.begin; row < transfer.end; ++row) {
          const Row key{transfer.expert, row};
          EXPECT_EQ(transfer.from, owner_before.at(key));
          EXPECT_EQ(transfer.to, owner_after.at(key));
          EXPECT_EQ(++seen[key], 1);
          moving += transfer.from != transfer.to ? 1 : 0;
        }
      }
      EXPECT_EQ(seen.size(), owner_after.size());
      EXPECT_EQ(moving_rows(row_transfers(before, after)), moving);
    }
  }
}

TEST(RowTransfers, AReplicaIsNoSource) {
  const LayerPlacement before{{{0, 1, 0, 8, 0.5}, {0, 2, 0, 8, 0.5}}};
  const LayerPlacement after{{{0, 0, 0, 8, 0.5}, {0, 2, 0, 8, 0.5}}};
  EXPECT_THAT(row_transfers(before, after), ElementsAre(RowTransfer{0, 0, 8, 1, 0}));
}

TEST(Rounds, KeepEveryRankUnderTheLimitAndLoseNothing) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 50; ++trial) {
    const int ranks = 2 + static_cast<int>(random() % 6);
    const auto transfers = row_transfers(planned(random, ranks), planned(random, ranks));
    const std::int64_t most = 1 + static_cast<std::int64_t>(random() % 30);
    std::map<Row, std::pair<int, int>> seen, expected;
    for (const auto& transfer : transfers) {
      for (std::int64_t row = transfer.begin; row < transfer.end; ++row) {
        expected[{transfer.expert, row}] = {transfer.from, transfer.to};
      }
    }
    for (const auto& round : in_rounds(transfers, ranks, most)) {
      EXPECT_LE(busiest_rows(round, ranks), most);
      for (const auto& transfer : round) {
        for (std::int64_t row = transfer.begin; row < transfer.end; ++row) {
          EXPECT_TRUE(seen.emplace(Row{transfer.expert, row}, std::pair{transfer.from, transfer.to})
                          .second);
        }
      }
    }
    EXPECT_EQ(seen, expected);
  }
}

TEST(Rounds, OneRoundIsEnoughWhereItFits) {
  const std::vector<RowTransfer> transfers = {{0, 0, 4, 0, 1}, {1, 0, 6, 1, 0}, {2, 0, 9, 1, 1}};
  EXPECT_THAT(in_rounds(transfers, 2, 6), ElementsAre(transfers));
  EXPECT_EQ(busiest_rows(transfers, 2), 6);
}

}  // namespace
}  // namespace hetmoe
