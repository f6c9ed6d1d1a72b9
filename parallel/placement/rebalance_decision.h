#pragma once

#include <cstdint>
#include <vector>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// [layers][experts]: tokens of a step.
using Loads = std::vector<std::vector<std::int64_t>>;

/// What moving is reckoned with: a layer that changes is copied whole on every rank, and what
/// changes its owner travels too. Both for the busiest rank of each layer.
struct MovePrice {
  double copied_bytes_per_second = 2e9;
  double sent_bytes_per_second = 1e9;
  double factor = 1;  ///< learned: measured over predicted seconds of the moves so far
};

/// Whether to move slices now, while routing drifts.
struct RebalanceQuestion {
  PlanProblem problem;   ///< of one expert group: the loads since the last look, the placement now
  int groups = 1;        ///< expert groups that move alike
  Loads earlier_tokens;  ///< the loads of the window before that
  PlanStrategy strategy = PlanStrategy::kSlices;
  /// Measured: one token through one hidden unit, forward and backward. Prices compute where the
  /// problem has no cluster.
  double seconds_per_token_unit = 0;
  std::int64_t steps_until_next_look = 0;
  MovePrice move;
};

struct RebalanceAnswer {
  bool moves = false;
  Plan plan;                      ///< where to
  double gain_seconds = 0;        ///< per step: the smaller of both windows' gains
  double moving_seconds = 0;      ///< once
  std::int64_t moving_bytes = 0;  ///< masters and moments that change their owner, all ranks
  double flops_max_over_mean_before = 1;  ///< over all layers, for the loads since the last look
  double flops_max_over_mean_after = 1;
};

/// Asks the planner, and says yes when the plan is under the memory cap (or no worse there than
/// the current placement) and the predicted gain until the next look exceeds what moving
/// costs. The gain counts as the smaller one of the last two windows: a change that only one of
/// them would have wanted is a passing hot spot, and following it would make slices flap.
/// Pure. Cost: one plan.
RebalanceAnswer decide_rebalance(const RebalanceQuestion& question);

}  // namespace hetmoe
