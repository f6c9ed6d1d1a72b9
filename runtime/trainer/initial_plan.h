#pragma once

#include <optional>

#include "parallel/communicator/communicator.h"
#include "parallel/placement/planner.h"
#include "runtime/metrics/run_directory.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// The cluster file that the configuration names, if it names one. Errors: ConfigError for a faulty
/// file, or one measured in another precision than the run's.
std::optional<Cluster> configured_cluster(const RunConfig& config);

/// Puts that file, as it stands, into the run directory. Rank 0. Errors: StorageError.
void copy_cluster_file(const RunConfig& config, const RunDirectory& directory);

/// What the planner is asked before anything has been routed: the configured limits, a uniform
/// load. With a cluster it is the load of a step: every token selects top_k experts, or as many
/// equally probable ones as reach top_p.
PlanProblem uniform_problem(const RunConfig& config, int ranks,
                            const std::optional<Cluster>& cluster = {});

/// The plan that a run starts from: the configured strategy under a uniform load, or a plan file.
/// Rank 0 plans and the others take its bytes. Collective.
/// Errors: AgreedError for a cluster file that is faulty, or a plan file that does not fit the
/// model or the world.
Plan make_initial_plan(const RunConfig& config, Communicator& control);

}  // namespace hetmoe
