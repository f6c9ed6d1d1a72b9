#include "parallel/simulation/exchange_time.h"

#include <algorithm>
#include <numeric>

#include "parallel/placement/cluster_speed.h"
#include "parallel/placement/two_hop_cost.h"

namespace hetmoe {
namespace {

constexpr double kSelectionBytes = 16;
constexpr double kGateGradientBytes = 8;
constexpr double kCountBytes = 16;  ///< two counts per pair of ranks

/// What a rank sends and receives, over the two kinds of links; per token of the group's sources.
struct Flow {
  double out_same_node = 0, out_other_node = 0;
  double in_same_node = 0, in_other_node = 0;
};

/// Sums over the group's ranks of the node that each rank stands on, [ranks of the group].
std::vector<double> sums_by_node(const SimulatedWorld& world, int first,
                                 const std::vector<double>& values) {
  std::vector<double> sums(values.size());
  for (std::size_t begin = 0; begin < values.size();) {
    const int node = world.node_of(first + static_cast<int>(begin));
    std::size_t end = begin;
    double sum = 0;
    while (end < values.size() && world.node_of(first + static_cast<int>(end)) == node)
      sum += values[end++];
    std::fill(sums.begin() + begin, sums.begin() + end, sum);
    begin = end;
  }
  return sums;
}

/// sent [ranks]: per token to each rank.
std::vector<Flow> flows(const SimulatedWorld& world, int first, const std::vector<double>& tokens,
                        const std::vector<double>& sent) {
  const double all_tokens = std::accumulate(tokens.begin(), tokens.end(), 0.0);
  const double all_sent = std::accumulate(sent.begin(), sent.end(), 0.0);
  const std::vector<double> node_tokens = sums_by_node(world, first, tokens);
  const std::vector<double> node_sent = sums_by_node(world, first, sent);
  std::vector<Flow> result(tokens.size());
  for (std::size_t rank = 0; rank < tokens.size(); ++rank) {
    result[rank] = {.out_same_node = tokens[rank] * (node_sent[rank] - sent[rank]),
                    .out_other_node = tokens[rank] * (all_sent - node_sent[rank]),
                    .in_same_node = sent[rank] * (node_tokens[rank] - tokens[rank]),
                    .in_other_node = sent[rank] * (all_tokens - node_tokens[rank])};
  }
  return result;
}

/// Bytes of rows and of what travels with each selection.
Flow bytes_of(const Flow& rows, double row_bytes, const Flow& selections, double selection_bytes) {
  const auto bytes = [&](double Flow::*way) {
    return rows.*way * row_bytes + selections.*way * selection_bytes;
  };
  return {.out_same_node = bytes(&Flow::out_same_node),
          .out_other_node = bytes(&Flow::out_other_node),
          .in_same_node = bytes(&Flow::in_same_node),
          .in_other_node = bytes(&Flow::in_other_node)};
}

/// One call of one rank: the busier direction.
double call_seconds(const Cluster& cluster, int near_peers, int far_peers, const Flow& bytes) {
  const auto one_way = [&](double same_node_bytes, double other_node_bytes) {
    return all_to_all_seconds(cluster, {.same_node_bytes = same_node_bytes,
                                        .other_node_bytes = other_node_bytes,
                                        .same_node_peers = near_peers,
                                        .other_node_peers = far_peers});
  };
  return std::max(one_way(bytes.out_same_node, bytes.out_other_node),
                  one_way(bytes.in_same_node, bytes.in_other_node));
}

/// Rows are gathered (read, written) before they leave, and what returns is added up in fp32 (read;
/// the sum cleared, read, written and narrowed). A rank's own rows take the same way.
struct CopySeconds {
  double gather = 0;
  double sum = 0;
};

CopySeconds copy_seconds(const Cluster& cluster, const SimulatedWorld& world, double tokens,
                         double rows_out) {
  const double value_bytes = world.value_bytes();
  const double per_byte =
      static_cast<double>(world.model.hidden_size) / cluster.memory_bytes_per_second;
  return {.gather = rows_out * 2 * value_bytes * per_byte,
          .sum = (rows_out * (value_bytes + 8) + tokens * (8 + value_bytes)) * per_byte};
}

/// The calls of one exchange in either number of hops.
struct Calls {
  double counts = 0;
  double latency = 0;  ///< of selections or gate gradients, whose bytes are with the rows
  double rows_and_selections = 0;
  double rows = 0;
  double rows_and_gate_gradients = 0;
};

/// All ranks of the group.
std::vector<Calls> one_hop_calls(const Cluster& cluster, const SimulatedWorld& world, int first,
                                 const std::vector<double>& tokens,
                                 const TokenDestinations& destinations) {
  const int size = world.expert_group_size;
  const auto rows = flows(world, first, tokens, destinations.rows);
  const auto selections = flows(world, first, tokens, destinations.selections);
  const double row_bytes = static_cast<double>(world.model.hidden_size) * world.value_bytes();
  std::vector<Calls> calls;
  for (int i = 0; i < size; ++i) {
    const int near = peers_on_node(world, first + i, first, first + size, 1);
    const int far = size - 1 - near;
    const auto rows_with = [&](double selection_bytes) {
      return call_seconds(cluster, near, far,
                          bytes_of(rows[i], row_bytes, selections[i], selection_bytes));
    };
    calls.push_back({.counts = call_seconds(cluster, near, far,
                                            {.out_same_node = kCountBytes * near,
                                             .out_other_node = kCountBytes * far}),
                     .latency = call_seconds(cluster, near, far, {}),
                     .rows_and_selections = rows_with(kSelectionBytes),
                     .rows = rows_with(0),
                     .rows_and_gate_gradients = rows_with(kGateGradientBytes)});
  }
  return calls;
}

std::vector<Calls> two_hop_calls(const Cluster& cluster, const SimulatedWorld& world,
                                 const RankNodes& nodes, const std::vector<double>& tokens,
                                 const TokenDestinations& destinations) {
  TokenReach selection_reach{destinations.selections, std::vector<double>(nodes.nodes(), 0.0)};
  for (int i = 0; i < nodes.ranks(); ++i) {
    selection_reach.to_node[nodes.node_of(i)] += destinations.selections[i];
  }
  const auto rows = two_hop_flows(nodes, tokens, {destinations.rows, destinations.node_rows});
  const auto selections = two_hop_flows(nodes, tokens, selection_reach);
  const double row_bytes = static_cast<double>(world.model.hidden_size) * world.value_bytes();
  std::vector<Calls> calls;
  for (int i = 0; i < nodes.ranks(); ++i) {
    const int near = nodes.near_peers(i);
    const int far = nodes.far_peers(i);
    const auto rows_with = [&](double selection_bytes) {
      return two_hop_seconds(cluster, nodes, i,
                             two_hop_bytes(rows[i], row_bytes, selections[i], selection_bytes));
    };
    calls.push_back({.counts = call_seconds(cluster, near, far,
                                            {.out_same_node = 2 * kCountBytes * near,
                                             .out_other_node = 2 * kCountBytes * far}),
                     .latency = two_hop_seconds(cluster, nodes, i, {}),
                     .rows_and_selections = rows_with(kSelectionBytes),
                     .rows = rows_with(0),
                     .rows_and_gate_gradients = rows_with(kGateGradientBytes)});
  }
  return calls;
}

}  // namespace

std::vector<ExchangeSeconds> exchange_seconds(const Cluster& cluster, const SimulatedWorld& world,
                                              int group, const TokenDestinations& destinations) {
  const int size = world.expert_group_size;
  const int first = group * size;
  std::vector<ExchangeSeconds> seconds(static_cast<std::size_t>(size));
  if (size == 1) return seconds;
  std::vector<double> tokens;
  for (int i = 0; i < size; ++i) tokens.push_back(world.tokens(first + i));
  const RankNodes nodes = nodes_of_neighbours(world.ranks_per_node, first, size);
  const std::vector<Calls> calls = world.two_hops && nodes.has_two_levels()
                                       ? two_hop_calls(cluster, world, nodes, tokens, destinations)
                                       : one_hop_calls(cluster, world, first, tokens, destinations);
  const double rows_of_token =
      std::accumulate(destinations.rows.begin(), destinations.rows.end(), 0.0);
  for (int i = 0; i < size; ++i) {
    const CopySeconds copies = copy_seconds(cluster, world, tokens[i], tokens[i] * rows_of_token);
    const Calls& call = calls[i];
    seconds[i] = {.dispatch = call.counts + call.latency + call.rows_and_selections + copies.gather,
                  .combine = call.rows + copies.sum,
                  .dispatch_gradient = call.rows + copies.gather,
                  .combine_gradient = call.latency + call.rows_and_gate_gradients + copies.sum};
  }
  return seconds;
}

}  // namespace hetmoe
