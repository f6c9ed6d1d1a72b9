#pragma once

#include <span>
#include <string>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// A plan with the name of the strategy that made it.
struct NamedPlan {
  std::string name;
  Plan plan;
};

/// A plan for people: what each rank gets over all layers (FLOPs forward and backward, rows from
/// and to other ranks, as parts of a whole where the problem has no load), with a cluster its
/// seconds, what bounds it, and the same figures of other strategies. At most 100 columns, ASCII.
std::string plan_text(const PlanProblem& problem, const Plan& plan,
                      std::span<const NamedPlan> others);

}  // namespace hetmoe
