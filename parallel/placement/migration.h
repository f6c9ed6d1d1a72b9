#pragma once

#include <cstdint>
#include <vector>

#include "parallel/placement/expert_groups.h"
#include "parallel/placement/placement.h"

namespace hetmoe {

/// Rows [begin, end) of an expert that go from one owner to another, or stay where from == to.
struct RowTransfer {
  int expert = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  int from = 0;
  int to = 0;

  std::int64_t rows() const { return end - begin; }
  friend bool operator==(const RowTransfer&, const RowTransfer&) = default;
};

/// How every row of a layer comes from its owner before to its owner after (owned_slices.h), by
/// (expert, begin); ranks are those of the world. Both placements are valid and of the same
/// experts. Pure.
std::vector<RowTransfer> row_transfers(const LayerPlacement& before, const LayerPlacement& after,
                                       const ExpertGroups& groups);

/// The transfers in rounds, cut where needed: in none does a rank send or receive more than
/// `most_rows` rows. What stays costs nothing. Pure, so all ranks make the same rounds.
std::vector<std::vector<RowTransfer>> in_rounds(const std::vector<RowTransfer>& transfers,
                                                int ranks, std::int64_t most_rows);

/// Whether both place the same rows on the same ranks: then only shares of replicas may differ, and
/// nothing has to move.
bool same_rows(const LayerPlacement& before, const LayerPlacement& after);

/// The layers that change, in an order in which no rank holds many more rows in between than at
/// both ends: each time the layer after which the fullest rank is least full, unless the order of
/// the layers is better. A rank whose rows move from one layer to another would else hold both.
/// Pure.
std::vector<int> migration_order(const Placement& before, const Placement& after, int ranks);

/// Rows that change their owner.
std::int64_t moving_rows(const std::vector<RowTransfer>& transfers);

/// The most rows that any rank sends or receives.
std::int64_t busiest_rows(const std::vector<RowTransfer>& transfers, int ranks);

}  // namespace hetmoe
