#pragma once

#include <cstdint>
#include <vector>

namespace hetmoe {

/// One slice of an expert on one rank of the expert group.
struct PlacedSlice {
  int expert = 0;
  int rank = 0;
  std::int64_t begin = 0;  ///< first row (hidden unit)
  std::int64_t end = 0;    ///< one past the last row
  double share = 1.0;      ///< fraction of the slice's tokens served here; replicas sum to 1

  std::int64_t width() const { return end - begin; }
  friend bool operator==(const PlacedSlice&, const PlacedSlice&) = default;
};

/// All slices of one layer, sorted by (expert, begin, rank).
struct LayerPlacement {
  std::vector<PlacedSlice> slices;
  friend bool operator==(const LayerPlacement&, const LayerPlacement&) = default;
};

/// Where every row of every expert of every layer lives.
struct Placement {
  std::vector<LayerPlacement> layers;
  friend bool operator==(const Placement&, const Placement&) = default;
};

}  // namespace hetmoe
