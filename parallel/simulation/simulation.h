#pragma once

#include <span>
#include <vector>

#include "parallel/placement/cluster.h"
#include "parallel/placement/placement.h"
#include "parallel/simulation/routed_tokens.h"
#include "parallel/simulation/simulated_memory.h"
#include "parallel/simulation/simulated_world.h"

namespace hetmoe {

/// Seconds of a step by what they go to, forward and backward together.
struct StepParts {
  double dense = 0;  ///< attention and all else outside the experts
  double expert = 0;
  double dispatch = 0;
  double combine = 0;
  double gradients = 0;
  double optimizer = 0;
  double parameters = 0;

  double sum() const {
    return dense + expert + dispatch + combine + gradients + optimizer + parameters;
  }
};

/// `sum` += weight * `parts`.
void add_parts(StepParts& sum, const StepParts& parts, double weight);

struct SimulatedRank {
  StepParts busy;      ///< its own work and transfers
  double waiting = 0;  ///< seconds for slower ranks; with `busy` the step
  SimulatedMemory memory;
};

/// A step as predicted. Ranks wait for each other at every exchange of their expert group and at
/// the end of the step, so the step is the sum of the slowest ranks' parts.
struct Simulation {
  StepParts parts;  ///< of the slowest rank of each phase; their sum is the step
  double even_seconds =
      0;  ///< the step if the experts' part were the same on all of a group's ranks
  double model_flops = 0;  ///< three times the forward products, all ranks
  double tokens = 0;       ///< of a step, all ranks
  std::vector<SimulatedRank> ranks;

  double step_seconds() const { return parts.sum(); }
  double tokens_per_second() const { return tokens / step_seconds(); }
  /// Part of the cluster's peak that the model's products make up.
  double model_flops_utilization(const Cluster& cluster) const;
};

/// The mean step over several steps of routing, [steps][layers], under one placement over the ranks
/// of an expert group; memory is that of the step that needs most. A pure function. Cost: about 1
/// us per slice, layer and different step, and per distinct set of experts and rank that it goes
/// to; layers that do not differ, and groups with the same tokens, are computed once.
Simulation simulate(const Cluster& cluster, const SimulatedWorld& world,
                    std::span<const std::vector<RoutedTokens>> steps, const Placement& placement);

}  // namespace hetmoe
