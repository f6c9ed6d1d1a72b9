#include "parallel/placement/held_slices.h"

#include "parallel/placement/replicas.h"

namespace hetmoe {
namespace {

bool continues(const HeldSlice& before, const PlacedSlice& placed) {
  return before.share == 1.0 && placed.share == 1.0 && before.slice.expert == placed.expert &&
         before.slice.end == placed.begin;
}

}  // namespace

std::vector<HeldSlice> held_slices(const LayerPlacement& placement, int layer, int rank) {
  std::vector<HeldSlice> held;
  const PlacedSlice* first = nullptr;  // of the replicas of these rows: they are sorted by rank
  for (const PlacedSlice& placed : placement.slices) {
    if (first == nullptr || !are_replicas(*first, placed)) first = &placed;
    if (placed.rank != rank) continue;
    if (!held.empty() && continues(held.back(), placed)) {
      held.back().slice.end = placed.end;
    } else {
      held.push_back({.slice = {layer, placed.expert, placed.begin, placed.end},
                      .owner = first->rank,
                      .share = placed.share});
    }
  }
  return held;
}

std::vector<Slice> slices_of_rank(const Placement& placement, int rank) {
  std::vector<Slice> slices;
  for (std::size_t layer = 0; layer < placement.layers.size(); ++layer) {
    for (const HeldSlice& held :
         held_slices(placement.layers[layer], static_cast<int>(layer), rank)) {
      slices.push_back(held.slice);
    }
  }
  return slices;
}

}  // namespace hetmoe
