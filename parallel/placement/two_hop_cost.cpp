#include "parallel/placement/two_hop_cost.h"

#include <algorithm>
#include <numeric>

#include "parallel/placement/cluster_speed.h"

namespace hetmoe {

std::vector<TwoHopFlow> two_hop_flows(const RankNodes& nodes, const std::vector<double>& tokens,
                                      const TokenReach& reach) {
  const auto ranks = static_cast<int>(tokens.size());
  std::vector<double> relayed(tokens.size(), 0.0);  // of other nodes' tokens
  std::vector<double> node_tokens(static_cast<std::size_t>(nodes.nodes()), 0.0);
  std::vector<double> held_by_node = node_tokens;
  for (int rank = 0; rank < ranks; ++rank) {
    node_tokens[nodes.node_of(rank)] += tokens[rank];
    held_by_node[nodes.node_of(rank)] += reach.to_rank[rank];
    for (int node = 0; node < nodes.nodes(); ++node) {
      if (node != nodes.node_of(rank)) relayed[nodes.relay(rank, node)] += tokens[rank];
    }
  }
  const double all_tokens = std::accumulate(tokens.begin(), tokens.end(), 0.0);
  const double to_nodes = std::accumulate(reach.to_node.begin(), reach.to_node.end(), 0.0);
  std::vector<TwoHopFlow> flows;
  for (int rank = 0; rank < ranks; ++rank) {
    const int node = nodes.node_of(rank);
    const double own = reach.to_rank[rank];
    const double others_here = held_by_node[node] - own;
    flows.push_back({.near_out = tokens[rank] * others_here,
                     .near_in = own * (node_tokens[node] - tokens[rank]),
                     .far_out = tokens[rank] * (to_nodes - reach.to_node[node]),
                     .far_in = reach.to_node[node] * relayed[rank],
                     .on_out = relayed[rank] * others_here,
                     .on_in = own * (all_tokens - node_tokens[node] - relayed[rank])});
  }
  return flows;
}

TwoHopFlow two_hop_bytes(const TwoHopFlow& rows, double row_bytes, const TwoHopFlow& selections,
                         double selection_bytes) {
  const auto bytes = [&](double TwoHopFlow::*way) {
    return rows.*way * row_bytes + selections.*way * selection_bytes;
  };
  return {.near_out = bytes(&TwoHopFlow::near_out),
          .near_in = bytes(&TwoHopFlow::near_in),
          .far_out = bytes(&TwoHopFlow::far_out),
          .far_in = bytes(&TwoHopFlow::far_in),
          .on_out = bytes(&TwoHopFlow::on_out),
          .on_in = bytes(&TwoHopFlow::on_in)};
}

double two_hop_seconds(const Cluster& cluster, const RankNodes& nodes, int rank,
                       const TwoHopFlow& bytes) {
  const auto one_way = [&](double near, double far, int far_peers) {
    return all_to_all_seconds(cluster, {.same_node_bytes = near,
                                        .other_node_bytes = far,
                                        .same_node_peers = nodes.near_peers(rank),
                                        .other_node_peers = far_peers});
  };
  const int far_peers = nodes.nodes() - 1;
  return std::max(one_way(bytes.near_out, bytes.far_out, far_peers),
                  one_way(bytes.near_in, bytes.far_in, far_peers)) +
         std::max(one_way(bytes.on_out, 0, 0), one_way(bytes.on_in, 0, 0));
}

}  // namespace hetmoe
