#pragma once

#include "parallel/communicator/communicator.h"
#include "parallel/placement/planner.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// What the planner is asked before anything has been routed: the configured limits, a uniform
/// load.
PlanProblem uniform_problem(const RunConfig& config, int ranks);

/// The plan that a run starts from: the configured strategy under a uniform load, or a plan file.
/// Rank 0 plans and the others take its bytes. Collective.
/// Errors: AgreedError for a plan file that does not fit the model or the world.
Plan make_initial_plan(const RunConfig& config, Communicator& control);

}  // namespace hetmoe
