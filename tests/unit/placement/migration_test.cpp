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
      for (const RowTransfer& transfer : row_transfers(before, after, {ranks, 1})) {
        for (std::int64_t row = transfer.begin; row < transfer.end; ++row) {
          const Row key{transfer.expert, row};
          EXPECT_EQ(transfer.from, owner_before.at(key));
          EXPECT_EQ(transfer.to, owner_after.at(key));
          EXPECT_EQ(++seen[key], 1);
          moving += transfer.from != transfer.to ? 1 : 0;
        }
      }
      EXPECT_EQ(seen.size(), owner_after.size());
      EXPECT_EQ(moving_rows(row_transfers(before, after, {ranks, 1})), moving);
    }
  }
}

TEST(RowTransfers, AReplicaIsNoSource) {
  const LayerPlacement before{{{0, 1, 0, 8, 0.5}, {0, 2, 0, 8, 0.5}}};
  const LayerPlacement after{{{0, 0, 0, 8, 0.5}, {0, 2, 0, 8, 0.5}}};
  EXPECT_THAT(row_transfers(before, after, {3, 1}), ElementsAre(RowTransfer{0, 0, 8, 1, 0}));
}

TEST(MigrationOrder, EmptiesARankInOneLayerBeforeItFillsItInAnother) {
  const auto layer = [](std::int64_t rows_of_first) {
    return LayerPlacement{{{0, 0, 0, rows_of_first}, {0, 1, rows_of_first, 100}}};
  };
  // Rank 0 goes from 45 + 65 to 55 + 45: layer 0 first would make it 120 in between.
  const Placement before{{layer(45), layer(65), layer(50)}};
  const Placement after{{layer(55), layer(45), layer(50)}};
  EXPECT_THAT(migration_order(before, after, 2), ElementsAre(1, 0));
  EXPECT_THAT(migration_order(after, before, 2), ElementsAre(0, 1));
}

TEST(MigrationOrder, KeepsThePeakNoHigherThanTheOrderOfLayers) {
  std::mt19937 random(5);
  for (int trial = 0; trial < 50; ++trial) {
    const int ranks = 2 + static_cast<int>(random() % 4);
    Placement before, after;
    for (int layer = 0; layer < 6; ++layer) {
      before.layers.push_back(planned(random, ranks));
      after.layers.push_back(planned(random, ranks));
    }
    const auto peak = [&](const std::vector<int>& order) {
      Placement now = before;
      std::int64_t most = 0;
      for (const int layer : order) {
        now.layers[layer] = after.layers[layer];
        std::vector<std::int64_t> rows(static_cast<std::size_t>(ranks), 0);
        for (const auto& placement : now.layers) {
          for (const PlacedSlice& slice : placement.slices) rows[slice.rank] += slice.width();
        }
        most = std::max(most, *std::max_element(rows.begin(), rows.end()));
      }
      return most;
    };
    std::vector<int> by_index, order = migration_order(before, after, ranks);
    for (int layer = 0; layer < 6; ++layer) {
      if (!same_rows(before.layers[layer], after.layers[layer])) by_index.push_back(layer);
    }
    EXPECT_LE(peak(order), peak(by_index)) << trial;
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, by_index);
  }
}

TEST(MigrationOrder, SharesAloneMoveNothing) {
  const Placement before{{{{{0, 0, 0, 8, 0.5}, {0, 1, 0, 8, 0.5}}}}};
  const Placement after{{{{{0, 0, 0, 8, 0.25}, {0, 1, 0, 8, 0.75}}}}};
  EXPECT_TRUE(migration_order(before, after, 2).empty());
}

TEST(Rounds, KeepEveryRankUnderTheLimitAndLoseNothing) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 50; ++trial) {
    const int ranks = 2 + static_cast<int>(random() % 6);
    const auto transfers =
        row_transfers(planned(random, ranks), planned(random, ranks), {ranks, 1});
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
