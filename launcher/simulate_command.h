#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hetmoe {

struct SimulateOptions {
  std::string config_path;
  std::vector<std::string> settings;  ///< "a.b=c" of the configuration
  std::string cluster_path;
  int ranks = 0;
  std::string workload;                 ///< W0..W7, or all; empty: model.router.forced, or W0
  std::vector<double> width_ratios;     ///< largest over smallest expert; empty: as configured
  std::string strategy;                 ///< empty: placement.strategy
  int ranks_per_node = 0;               ///< 0: the cluster's
  int expert_group_size = 0;            ///< 0: all ranks
  std::int64_t sequences_per_rank = 0;  ///< of a step; 0: train.global_batch over all ranks
  std::int64_t seed = -1;               ///< of the workload; -1: train.seed
  std::string svg_path;
  bool json = false;
};

/// `hetmoe simulate`: predicts a training step on a cluster without starting ranks, and prints its
/// parts, or one JSON document; several workloads or width ratios give a line each. Gives the exit
/// code. What makes a prediction doubtful is one line each on standard error.
/// Errors: ConfigError, StorageError.
int run_simulate_command(const SimulateOptions& options);

}  // namespace hetmoe
