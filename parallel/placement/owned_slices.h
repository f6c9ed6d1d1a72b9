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

/// [world ranks] rows that each owns, all layers together.
std::vector<std::int64_t> owned_rows(const Placement& placement, const ExpertGroups& groups);

/// Rows of one expert that `holder` computes with and another rank owns.
struct SharedRows {
  int expert = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  int owner = 0;
  int holder = 0;

  std::int64_t rows() const { return end - begin; }
  friend bool operator==(const SharedRows&, const SharedRows&) = default;
};

/// Every copy of rows of a layer that is not its owner's, by (expert, begin, holder); world ranks.
/// Empty where neither replicas nor several groups hold rows twice. Pure.
std::vector<SharedRows> shared_rows(const LayerPlacement& placement, const ExpertGroups& groups);

}  // namespace hetmoe
