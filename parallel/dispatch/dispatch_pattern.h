#pragma once

#include <cstdint>
#include <vector>

#include "core/model/routing.h"
#include "parallel/dispatch/slice_servers.h"

namespace hetmoe {

/// A selection as it travels to a destination rank, once per slice that it concerns there.
struct SelectionOnWire {
  std::int32_t row;    ///< index into the rows that this source sends to this destination
  std::int32_t slice;  ///< index among the layer's slices at the destination
  double gate;
};
static_assert(sizeof(SelectionOnWire) == 16);

/// Which tokens and selections of one rank go to which ranks; both lists by destination rank, then
/// by token, then by slice.
struct DispatchPattern {
  std::vector<std::int64_t> rows_to_rank;        ///< [ranks]
  std::vector<std::int64_t> selections_to_rank;  ///< [ranks]
  std::vector<std::int64_t> token;               ///< per row sent: index of the local token
  std::vector<std::int64_t> selection;           ///< per selection sent: index into the routing
  std::vector<SelectionOnWire> wire;             ///< per selection sent
};

/// Pure.
DispatchPattern make_dispatch_pattern(const Routing& routing, const LayerServers& servers,
                                      int num_ranks);

}  // namespace hetmoe
