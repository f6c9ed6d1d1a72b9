#pragma once

#include <vector>

#include "parallel/placement/cluster.h"
#include "parallel/simulation/exchange_time.h"
#include "parallel/simulation/routed_tokens.h"
#include "parallel/simulation/simulated_world.h"

namespace hetmoe {

/// What one layer's experts cost one rank in one microbatch, waiting left out.
struct LayerTime {
  double expert_forward = 0;   ///< seconds
  double expert_backward = 0;  ///< seconds
  ExchangeSeconds exchange;
  double received_rows = 0;  ///< rows of its slices' tokens, those of this rank included
  double hidden_values = 0;  ///< sum over slices of rows x width
};

/// The ranks of one expert group, [expert_group_size]. The placement is over a group's ranks.
std::vector<LayerTime> layer_times(const Cluster& cluster, const SimulatedWorld& world, int group,
                                   const RoutedTokens& routed, const LayerPlacement& placement);

}  // namespace hetmoe
