#pragma once

#include <optional>

#include "parallel/communicator/communicator.h"
#include "parallel/placement/expert_groups.h"
#include "parallel/placement/planner.h"
#include "parallel/placement/rebalance_decision.h"
#include "runtime/metrics/run_directory.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// The cluster file that the configuration names, if it names one. Errors: ConfigError for a faulty
/// file, or one measured in another precision than the run's.
std::optional<Cluster> configured_cluster(const RunConfig& config);

/// The world as expert groups of the configured size. Errors: ConfigError when the size does not
/// divide the ranks.
ExpertGroups configured_groups(const RunConfig& config, int ranks);

/// Puts that file, as it stands, into the run directory. Rank 0. Errors: StorageError.
void copy_cluster_file(const RunConfig& config, const RunDirectory& directory);

/// What the planner is asked before anything has been routed: the configured limits, and for one
/// of the groups a uniform load. With a cluster it is the load of a step: every token selects top_k
/// experts, or as many equally probable ones as reach top_p.
PlanProblem uniform_problem(const RunConfig& config, const ExpertGroups& groups,
                            const std::optional<Cluster>& cluster = {});

/// Plans for `loads` [layers][experts], tokens of a step of all ranks, of which each group routes
/// its part. Loads that are not the model's (they come from a checkpoint), or none, leave the
/// problem's.
void take_loads(const Loads& loads, int groups, PlanProblem& problem);

/// The plan that every group starts from: the configured strategy under a uniform load or the given
/// one (tokens of a step, all ranks), or a plan file. Rank 0 plans and the others take its bytes.
/// Collective over the world. Errors: AgreedError for a cluster file that is faulty, or a plan file
/// that does not fit the model or the group.
Plan make_initial_plan(const RunConfig& config, const ExpertGroups& groups, Communicator& control,
                       const Loads& loads = {});

}  // namespace hetmoe
