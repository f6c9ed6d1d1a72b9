#pragma once

#include <vector>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// Heaviest FLOPs first, each onto the rank with the least so far among those with room for it
/// under the memory cap, or among all if none has. `bytes` [ranks] are those of the layers before
/// and take this layer's too: the cap is over all layers. Pure.
LayerPlacement place_whole(const PlanProblem& problem, const PlanLayer& layer,
                           std::vector<double>& bytes);

/// Equal numbers of experts in order: rank r holds [E r / R, E (r + 1) / R). Pure.
LayerPlacement place_contiguous(const PlanLayer& layer, int ranks);

/// Equal numbers of experts weighted by load: most tokens first, each onto the rank with the fewest
/// tokens among those that hold less than E / R experts, rounded up. What trainers of equal experts
/// do (EPLB, without its replicas): it counts tokens, not FLOPs. Pure.
LayerPlacement place_equal_count(const PlanLayer& layer, int ranks);

}  // namespace hetmoe
