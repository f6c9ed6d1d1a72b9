#pragma once

#include <cstdint>
#include <vector>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// Places one layer's experts, cut where balance or memory needs it, at the least traffic that a
/// bounded search finds: work of every rank at most (1 + tolerance) times the mean, rows at most
/// `room` [ranks]. First all ranks are filled one after another (row_division), then pairs and
/// triples of ranks that share an expert are divided anew as long as that saves cuts.
/// Where no division meets the limits (coarse granules, many ranks) the rows are dealt out evenly
/// and the figures of the plan say what was reached. Pure; the search is counted, not timed.
LayerPlacement place_slices(const PlanLayer& layer, int ranks, double tolerance,
                            std::int64_t granularity, const std::vector<std::int64_t>& room);

}  // namespace hetmoe
