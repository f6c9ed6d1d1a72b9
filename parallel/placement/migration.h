#pragma once

#include <cstdint>
#include <vector>

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

/// How every row of a layer comes from its owner before to its owner after, by (expert, begin).
/// Owner: the lowest of the ranks that hold the row. Both placements are valid and of the same
/// experts. Pure.
std::vector<RowTransfer> row_transfers(const LayerPlacement& before, const LayerPlacement& after);

/// The transfers in rounds, cut where needed: in none does a rank send or receive more than
/// `most_rows` rows. What stays costs nothing. Pure, so all ranks make the same rounds.
std::vector<std::vector<RowTransfer>> in_rounds(const std::vector<RowTransfer>& transfers,
                                                int ranks, std::int64_t most_rows);

/// Rows that change their owner.
std::int64_t moving_rows(const std::vector<RowTransfer>& transfers);

/// The most rows that any rank sends or receives.
std::int64_t busiest_rows(const std::vector<RowTransfer>& transfers, int ranks);

}  // namespace hetmoe
