#include "runtime/report/simulation_report.h"

#include <algorithm>

namespace hetmoe {

double largest_memory_bytes(const Simulation& simulation) {
  double largest = 0;
  for (const SimulatedRank& rank : simulation.ranks) largest = std::max(largest, rank.memory.sum());
  return largest;
}

double mean_memory_bytes(const Simulation& simulation) {
  double sum = 0;
  for (const SimulatedRank& rank : simulation.ranks) sum += rank.memory.sum();
  return sum / static_cast<double>(simulation.ranks.size());
}

int ranks_over_memory(const Simulation& simulation, const Cluster& cluster) {
  if (cluster.memory_bytes == 0) return 0;
  return static_cast<int>(std::count_if(
      simulation.ranks.begin(), simulation.ranks.end(),
      [&](const SimulatedRank& rank) { return rank.memory.sum() > cluster.memory_bytes; }));
}

}  // namespace hetmoe
