#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/placement/cluster.h"
#include "parallel/simulation/simulated_world.h"
#include "parallel/simulation/simulation.h"

namespace hetmoe {

/// A step as predicted under one placement.
struct SimulatedPlacement {
  std::string name;
  Simulation simulation;
  double flops_max_over_mean = 1;  ///< expert work of the busiest rank, summed over layers
};

/// One simulated case: the same step under several placements, contiguous first, the asked one
/// last.
struct SimulationReport {
  std::string config_name;
  std::string workload;
  std::uint64_t seed = 0;
  Cluster cluster;
  SimulatedWorld world;
  std::vector<SimulatedPlacement> placements;

  const SimulatedPlacement& unbalanced() const { return placements.front(); }
  const SimulatedPlacement& balanced() const { return placements.back(); }
};

/// One line of a comparison over workloads and width skews.
struct SimulatedCase {
  std::string workload;
  double width_ratio = 0;  ///< largest over smallest expert
  double contiguous_seconds = 0;
  double planned_seconds = 0;
  double even_seconds = 0;     ///< the planned step if its experts' part were spread evenly
  double uniform_seconds = 0;  ///< the planned strategy and the same sources under balanced routing
};

/// Most bytes of a rank, or of all ranks the mean; and how many exceed the cluster's memory.
double largest_memory_bytes(const Simulation& simulation);
double mean_memory_bytes(const Simulation& simulation);
int ranks_over_memory(const Simulation& simulation, const Cluster& cluster);

}  // namespace hetmoe
