#include "parallel/simulation/exchange_time.h"

#include <algorithm>
#include <numeric>

#include "parallel/placement/cluster_speed.h"

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

}  // namespace

std::vector<ExchangeSeconds> exchange_seconds(const Cluster& cluster, const SimulatedWorld& world,
                                              int group, const TokenDestinations& destinations) {
  const int size = world.expert_group_size;
  const int first = group * size;
  std::vector<ExchangeSeconds> seconds(static_cast<std::size_t>(size));
  if (size == 1) return seconds;
  std::vector<double> tokens;
  for (int i = 0; i < size; ++i) tokens.push_back(world.tokens(first + i));
  const auto rows = flows(world, first, tokens, destinations.rows);
  const auto selections = flows(world, first, tokens, destinations.selections);
  const double hidden = static_cast<double>(world.model.hidden_size);
  const double value_bytes = world.value_bytes();
  const double row_bytes = hidden * value_bytes;
  const double rows_of_token =
      std::accumulate(destinations.rows.begin(), destinations.rows.end(), 0.0);
  for (int i = 0; i < size; ++i) {
    const int near = peers_on_node(world, first + i, first, first + size, 1);
    const int far = size - 1 - near;
    const auto call = [&](double same_node_bytes, double other_node_bytes) {
      return all_to_all_seconds(cluster, {.same_node_bytes = same_node_bytes,
                                          .other_node_bytes = other_node_bytes,
                                          .same_node_peers = near,
                                          .other_node_peers = far});
    };
    const auto exchange = [&](double bytes_per_selection) {
      const Flow& row = rows[i];
      const Flow& selection = selections[i];
      return std::max(
          call(row.out_same_node * row_bytes + selection.out_same_node * bytes_per_selection,
               row.out_other_node * row_bytes + selection.out_other_node * bytes_per_selection),
          call(row.in_same_node * row_bytes + selection.in_same_node * bytes_per_selection,
               row.in_other_node * row_bytes + selection.in_other_node * bytes_per_selection));
    };
    const double latency = call(0, 0);  // of what travels beside the rows in a call of its own
    const double counts = call(kCountBytes * near, kCountBytes * far);
    // Rows are gathered (read, written) before they leave, and what returns is added up in fp32
    // (read; the sum cleared, read, written and narrowed); this rank's own rows take the same way.
    const double rows_out = tokens[i] * rows_of_token;
    const double gather = rows_out * hidden * 2 * value_bytes / cluster.memory_bytes_per_second;
    const double sum = (rows_out * (value_bytes + 8) + tokens[i] * (8 + value_bytes)) * hidden /
                       cluster.memory_bytes_per_second;
    const double plain = exchange(0);
    seconds[i] = {.dispatch = counts + latency + exchange(kSelectionBytes) + gather,
                  .combine = plain + sum,
                  .dispatch_gradient = plain + gather,
                  .combine_gradient = latency + exchange(kGateGradientBytes) + sum};
  }
  return seconds;
}

}  // namespace hetmoe
