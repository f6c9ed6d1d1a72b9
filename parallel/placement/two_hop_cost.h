#pragma once

#include <vector>

#include "parallel/placement/cluster.h"
#include "parallel/placement/rank_nodes.h"

namespace hetmoe {

/// What one rank sends to others and receives from them when tokens travel in two hops, of rows or
/// bytes: between ranks of a node, to and from other nodes, and handed on inside.
struct TwoHopFlow {
  double near_out = 0, near_in = 0;
  double far_out = 0, far_in = 0;
  double on_out = 0, on_in = 0;
};

/// What a token sends, on average, whoever has it.
struct TokenReach {
  std::vector<double> to_rank;  ///< [ranks]
  std::vector<double> to_node;  ///< [nodes]: across to it, however many of its ranks need it
};

/// Shape: [ranks]. `tokens` [ranks]: of each source. Pure.
std::vector<TwoHopFlow> two_hop_flows(const RankNodes& nodes, const std::vector<double>& tokens,
                                      const TokenReach& reach);

/// rows * row_bytes + selections * selection_bytes, term by term.
TwoHopFlow two_hop_bytes(const TwoHopFlow& rows, double row_bytes, const TwoHopFlow& selections,
                         double selection_bytes);

/// Seconds of one transfer, there or back, for one rank: inside of the node and across at the same
/// time, then handing on; of each the busier direction and the latencies of its peers. Pure.
double two_hop_seconds(const Cluster& cluster, const RankNodes& nodes, int rank,
                       const TwoHopFlow& bytes);

}  // namespace hetmoe
