#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// Places one layer for the least predicted seconds (step_cost.h) among: slices within the
/// tolerance, slices within several looser ones (less traffic for less balance), and whole experts
/// as each of whole_experts.h puts them. Candidates beyond `room` [ranks] do not count, nor, with
/// problem.strict, those beyond the tolerance; if none is left, the slices within the tolerance as
/// far as they go. The current placement, where it counts, is kept up to 1.05 times the best
/// candidate's seconds, so that a plan of a plan moves nothing; else the best one's ranks are
/// renamed after it, at up to as much time. `problem.cluster` is there. Pure.
LayerPlacement place_by_seconds(const PlanProblem& problem, std::size_t layer,
                                const std::vector<std::int64_t>& room);

}  // namespace hetmoe
