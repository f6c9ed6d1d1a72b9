#pragma once

#include <cstdint>
#include <vector>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// What a layer's placement has to hold to.
struct LayerLimits {
  const PlanLayer& layer;
  int ranks = 1;
  double tolerance = 0.02;
  const std::vector<std::int64_t>& room;  ///< [ranks] most rows
};

/// Rows of one layer that are on another rank than before.
std::int64_t moved_rows(const LayerPlacement& before, const LayerPlacement& after);

bool fits_room(const LayerPlacement& placement, const LayerLimits& limits);
bool is_balanced(const LayerPlacement& placement, const LayerLimits& limits);

/// The fresh placement with its ranks renamed so that rows stay where they are, as far as the room
/// allows. Pure.
LayerPlacement follow(const LayerPlacement& current, const LayerPlacement& fresh,
                      const LayerLimits& limits);

/// The current placement where it meets the limits at no more than 1.05 times the fresh one's
/// traffic: a plan of a plan moves nothing. Else the fresh one, following it. Pure.
LayerPlacement keep_or_follow(const LayerPlacement& current, LayerPlacement fresh,
                              const LayerLimits& limits);

}  // namespace hetmoe
