#pragma once

#include <vector>

#include "parallel/placement/cluster.h"
#include "parallel/simulation/simulated_world.h"
#include "parallel/simulation/token_destinations.h"

namespace hetmoe {

/// Seconds of the four exchanges of one layer and microbatch on one rank, waiting left out.
struct ExchangeSeconds {
  double dispatch = 0;           ///< rows and selections out
  double combine = 0;            ///< rows back
  double dispatch_gradient = 0;  ///< gradients of rows out
  double combine_gradient = 0;   ///< rows and gate gradients back
};

/// The exchanges of the ranks of one expert group, [expert_group_size], as
/// parallel/dispatch does them: rows in the compute type, 16 bytes per selection, 8 per gate
/// gradient, the counts of rows ahead; and rows gathered and added up in memory. Tokens of all
/// sources are routed alike. A group of one rank exchanges nothing.
std::vector<ExchangeSeconds> exchange_seconds(const Cluster& cluster, const SimulatedWorld& world,
                                              int group, const TokenDestinations& destinations);

}  // namespace hetmoe
