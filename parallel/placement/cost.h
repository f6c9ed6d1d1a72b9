#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// Loads as the planner counts them: the tokens, or one each when all are zero.
std::vector<std::int64_t> effective_loads(const PlanLayer& layer);

/// The figures of one placement under a problem: per layer the largest rank's FLOPs over the mean
/// and the traffic, over all layers the largest rank's expert bytes over the mean without replicas.
/// FLOPs of a slice: tokens * share * width. Of replicas the lowest rank owns
/// (bytes_per_parameter), the others hold bytes_per_replica_parameter. With a cluster the predicted
/// seconds too. `bound_by` as Plan says. The placement must be valid (validate_placement);
/// ConfigError otherwise.
Plan evaluate(const PlanProblem& problem, Placement placement);

/// Expert bytes of each rank over all layers of a valid placement.
std::vector<double> expert_bytes_of_ranks(const PlanProblem& problem, const Placement& placement);

/// A constraint that a placement does not meet, and by how much.
struct Infeasibility {
  std::string constraint;
  double needed = 0;
  double available = 0;
};

/// The memory cap, if the plan's largest rank exceeds it: bytes needed and allowed.
std::optional<Infeasibility> missed_cap(const PlanProblem& problem, const Plan& plan);

/// The most expert bytes that a rank may hold.
double memory_cap_bytes(const PlanProblem& problem);

}  // namespace hetmoe
