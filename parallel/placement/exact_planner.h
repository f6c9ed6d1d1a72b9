#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// What the solver found for one layer.
struct ExactPlacement {
  LayerPlacement placement;
  std::int64_t traffic = 0;  ///< rows that travel: tokens of every (expert, rank) pair
  double traffic_bound = 0;  ///< proven: no placement has less
  bool proven = false;       ///< the placement is optimal
};

/// The same problem as place_slices (slice_planner.h) as a mixed-integer programme, solved by CBC
/// with `start` as its first solution. Nothing if no placement meets the limits or none was found
/// in time; with `start` there is always one. Blocking up to `seconds`: not for every-day use, and
/// the time limit makes results depend on the machine unless they are proven.
std::optional<ExactPlacement> place_exactly(const PlanLayer& layer, int ranks, double tolerance,
                                            std::int64_t granularity,
                                            const std::vector<std::int64_t>& room, double seconds,
                                            const LayerPlacement* start = nullptr);

/// The whole problem, layer by layer, each with up to `seconds`; the everyday plan is the start.
Plan plan_exactly(const PlanProblem& problem, double seconds);

}  // namespace hetmoe
