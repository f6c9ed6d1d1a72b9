#pragma once

#include <vector>

#include "core/model/slice.h"
#include "parallel/placement/placement.h"

namespace hetmoe {

/// A run of rows of one expert as one rank holds it.
struct HeldSlice {
  Slice slice;
  int owner = 0;     ///< the lowest of the ranks that hold these rows
  double share = 1;  ///< of the tokens of these rows, served here

  friend bool operator==(const HeldSlice&, const HeldSlice&) = default;
};

/// What a rank holds of one layer, by (expert, begin): neighbours that have no replicas are one.
std::vector<HeldSlice> held_slices(const LayerPlacement& placement, int layer, int rank);

/// Of all layers, without owners: what a rank's parameters are made of.
std::vector<Slice> slices_of_rank(const Placement& placement, int rank);

}  // namespace hetmoe
