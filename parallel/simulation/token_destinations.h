#pragma once

#include <vector>

#include "parallel/placement/placement.h"
#include "parallel/placement/rank_nodes.h"
#include "parallel/simulation/routed_tokens.h"

namespace hetmoe {

/// What one token of an expert group sends to each of the group's ranks, on average.
struct TokenDestinations {
  std::vector<double> rows;        ///< [ranks]: a token's row goes once to a rank, if at all
  std::vector<double> selections;  ///< [ranks]: its experts that have slices there
  std::vector<double> node_rows;   ///< [nodes]: a row once to a node, if at all
};

/// Sends every set of experts to the ranks that hold slices of one of them. Slices with a share
/// other than 1 (replicas) are a broken invariant: which of them serves a token is not simulated.
TokenDestinations destinations_of(const RoutedTokens& routed, const LayerPlacement& placement,
                                  const RankNodes& nodes);

}  // namespace hetmoe
