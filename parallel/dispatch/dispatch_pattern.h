#pragma once

#include <cstdint>
#include <vector>

#include "core/model/routing.h"

namespace hetmoe {

/// A selection as it travels to a destination rank.
struct SelectionOnWire {
  std::int32_t row;  ///< index into the rows that this source sends to this destination
  std::int32_t expert;
  double gate;
};
static_assert(sizeof(SelectionOnWire) == 16);

/// Which tokens and selections of one rank go to which ranks; both lists by destination rank, then
/// by token, then by expert.
struct DispatchPattern {
  std::vector<std::int64_t> rows_to_rank;        ///< [ranks]
  std::vector<std::int64_t> selections_to_rank;  ///< [ranks]
  std::vector<std::int64_t> token;               ///< per row sent: index of the local token
  std::vector<std::int64_t> selection;           ///< per selection sent: index into the routing
  std::vector<SelectionOnWire> wire;             ///< per selection sent
};

/// ranks_of_expert[e]: the ranks that hold slices of expert e, ascending. Pure.
DispatchPattern make_dispatch_pattern(const Routing& routing,
                                      const std::vector<std::vector<std::int32_t>>& ranks_of_expert,
                                      int num_ranks);

}  // namespace hetmoe
