#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "parallel/dispatch/dispatch_pattern.h"
#include "parallel/placement/rank_nodes.h"

namespace hetmoe {

/// Which tokens and selections of one rank go where when other nodes get each row once.
struct TwoHopPattern {
  DispatchPattern near;  ///< to the ranks of this node, as in one hop
  /// To one rank of each other node, which hands on: a row once per node. `slice` names the rank
  /// as well: slice * ranks of that node + place of the rank there.
  DispatchPattern far;
  std::vector<std::int64_t> rows_for_rank;        ///< [ranks]: handed on to it in the end
  std::vector<std::int64_t> selections_for_rank;  ///< [ranks]
};

/// For the tokens of `rank`. Pure.
TwoHopPattern make_two_hop_pattern(const Routing& routing, const LayerServers& servers,
                                   const RankNodes& nodes, int rank);

/// What came to a rank of other nodes' rows.
struct RowsToHandOn {
  std::span<const SelectionOnWire> wire;               ///< by source rank
  std::span<const std::int64_t> rows_from_rank;        ///< [ranks]
  std::span<const std::int64_t> selections_from_rank;  ///< [ranks]
};

/// To which ranks of its node `rank` hands them on: `token` and `selection` number what came.
/// Broken invariants where what came names rows that did not come. Pure.
DispatchPattern make_handing_on_pattern(const RowsToHandOn& came, const RankNodes& nodes, int rank);

}  // namespace hetmoe
