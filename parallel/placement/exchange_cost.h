#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "parallel/placement/step_cost.h"

namespace hetmoe {

/// Seconds of the four transfers of one layer in a step, in one hop or two as the problem says, for
/// every rank: [4][ranks]; see price_layer. `rows`: of the placement. Pure.
std::array<std::vector<double>, 4> transfer_seconds(const PlanProblem& problem, std::size_t layer,
                                                    const LayerPlacement& placement,
                                                    const std::vector<RankRows>& rows);

}  // namespace hetmoe
