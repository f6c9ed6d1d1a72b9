#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/model/workload.h"
#include "parallel/placement/cluster.h"
#include "runtime/report/simulation_report.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// What is simulated. `config` is that of the run, its batch adapted by scale_batch if wanted.
struct SimulationRequest {
  std::string config_name;
  RunConfig config;
  Cluster cluster;
  int ranks = 1;
  int expert_group_size = 1;  ///< divides ranks
  int ranks_per_node = 1;
  std::string strategy = "slices";
  std::uint64_t seed = 1;
};

/// Gives every rank `sequences_per_rank` sequences in a step, in as many microbatches of the
/// configuration as divide them.
void scale_batch(RunConfig& config, std::int64_t sequences_per_rank, int ranks);

/// Simulates one configuration under workloads. Plans cost seconds at many ranks, so the plan for a
/// uniform load is made once and kept. Slices are planned without replicas, whatever
/// placement.replicas says.
class StepSimulator {
 public:
  /// Errors: ConfigError for a strategy that is unknown or a plan file, and for
  /// train.source_weights of another number of ranks.
  explicit StepSimulator(SimulationRequest request);

  /// Under contiguous placement and, if the strategy is another, its plan for a uniform load
  /// (before the first rebalance) and its plan for the load that it has seen (after one).
  SimulationReport report(WorkloadKind kind);

  /// The figures of a comparison's line.
  SimulatedCase compare(WorkloadKind kind);

 private:
  const Placement& uniform_plan();
  Placement plan_of(const std::vector<std::vector<double>>& selections) const;

  SimulationRequest request_;
  std::optional<Placement> uniform_plan_;
};

}  // namespace hetmoe
