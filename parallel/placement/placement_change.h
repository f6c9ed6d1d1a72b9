#pragma once

#include <cstdint>
#include <vector>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// What a layer's placement has to hold to: the problem's tolerance and the room.
struct LayerLimits {
  const PlanProblem& problem;
  std::size_t layer = 0;
  const std::vector<std::int64_t>& room;  ///< [ranks] most rows, as counted_rows counts
};

/// Rows of one layer that are on another rank than before.
std::int64_t moved_rows(const LayerPlacement& before, const LayerPlacement& after);

bool fits_room(const LayerPlacement& placement, const LayerLimits& limits);
bool is_balanced(const LayerPlacement& placement, const LayerLimits& limits);

/// The fresh placement, which is without replicas, with its ranks renamed so that rows stay where
/// they are, as far as the room allows. Pure.
LayerPlacement follow(const LayerPlacement& current, const LayerPlacement& fresh,
                      const LayerLimits& limits);

/// Whether the current placement meets the limits at no more than 1.05 times the fresh one's
/// traffic: so a plan of a plan moves nothing. Pure.
bool is_worth_keeping(const LayerPlacement& current, const LayerPlacement& fresh,
                      const LayerLimits& limits);

}  // namespace hetmoe
