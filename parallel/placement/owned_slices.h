#pragma once

#include <cstdint>
#include <vector>

#include "core/model/slice.h"
#include "parallel/placement/expert_groups.h"
#include "parallel/placement/placement.h"

namespace hetmoe {

/// Rows of one expert and the world rank that owns them.
struct OwnedSlice {
  Slice slice;
  int owner = 0;

  friend bool operator==(const OwnedSlice&, const OwnedSlice&) = default;
};

/// Every row of a layer once, by (expert, begin). Within a group the lowest rank that holds a row
/// owns it; with several groups each owns an equal run of the rows of every slice. `layer` only
/// fills Slice::layer. Pure.
std::vector<OwnedSlice> owned_slices(const LayerPlacement& placement, int layer,
                                     const ExpertGroups& groups);

/// Those that one world rank owns; neighbours are not merged.
std::vector<Slice> slices_owned_by(const LayerPlacement& placement, int layer,
                                   const ExpertGroups& groups, int rank);

}  // namespace hetmoe
