#pragma once

#include <cstdint>
#include <vector>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// Whether two slices of a valid layer hold the same rows: one is then a replica of the other. Of
/// slices in the layer's order the first is the owner's.
bool are_replicas(const PlacedSlice& a, const PlacedSlice& b);

/// Rows of one layer on each rank as they count for memory: a replica that its rank does not own
/// counts for less, bytes_per_replica_parameter over bytes_per_parameter, rounded up.
std::vector<std::int64_t> counted_rows(const PlanProblem& problem, const LayerPlacement& placement);

/// Makes replicas of cut experts, hottest first, while `problem.replicas` and `room` [ranks] (in
/// counted rows) last: every rank that held a piece then holds the whole expert and serves that
/// part of its tokens which the piece was of the width. FLOPs stay, and a token goes to one of the
/// ranks instead of to all: four times there and back. Only where that saves more bytes than a step
/// spends on the replicas' gradients and on their copies. `placement` is without replicas. Pure.
LayerPlacement with_replicas(const PlanProblem& problem, std::size_t layer,
                             LayerPlacement placement, const std::vector<std::int64_t>& room);

}  // namespace hetmoe
