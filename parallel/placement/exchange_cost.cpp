#include "parallel/placement/exchange_cost.h"

#include <algorithm>
#include <memory>

#include "parallel/placement/cluster_speed.h"
#include "parallel/placement/cost.h"
#include "parallel/placement/two_hop_cost.h"

namespace hetmoe {
namespace {

constexpr double kSelectionBytes = 16;    // row, slice and gate of a selection (dispatch_pattern.h)
constexpr double kGateGradientBytes = 8;  // fp64

/// One of the four ways of rows through the network.
struct Transfer {
  double bytes_per_selection = 0;  ///< beside its row
  int calls = 1;                   ///< of rows and selections
  bool has_counts = false;         ///< in one more call, to all ranks
};
constexpr std::array<Transfer, 4> kTransfers = {
    {{kSelectionBytes, 2, true},  // selections, rows
     {},                          // partial results
     {},                          // gradients of the results
     {kGateGradientBytes, 2}}};   // gradients of rows and gates

double bytes_per_row(const PlanProblem& problem) {
  return static_cast<double>(problem.hidden_size) * problem.bytes_per_value;
}

/// Rows of one rank over links of one kind, in the busier direction.
struct BusierRows {
  double same_node = 0;
  double other_node = 0;
};

/// Of every expert's tokens each rank has an equal part.
std::vector<BusierRows> busier_rows(const RankNodes& nodes, const std::vector<RankRows>& rows) {
  const int ranks = nodes.ranks();
  std::vector<double> held_by_node(static_cast<std::size_t>(nodes.nodes()), 0.0);
  double held = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    held_by_node[nodes.node_of(rank)] += rows[rank].held;
    held += rows[rank].held;
  }
  std::vector<BusierRows> busier;
  for (int rank = 0; rank < ranks; ++rank) {
    const double own = rows[rank].held, near = held_by_node[nodes.node_of(rank)];
    busier.push_back({std::max(own * nodes.near_peers(rank), near - own) / ranks,
                      std::max(own * nodes.far_peers(rank), held - near) / ranks});
  }
  return busier;
}

/// The four transfers of one layer and microbatch.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual double seconds(const Transfer& transfer, int rank) const = 0;
};

class OneHop final : public Exchange {
 public:
  OneHop(const PlanProblem& problem, const RankNodes& nodes, const std::vector<RankRows>& rows)
      : problem_(problem), nodes_(nodes), busier_(busier_rows(nodes, rows)) {}

  double seconds(const Transfer& transfer, int rank) const override {
    const Cluster& cluster = *problem_.cluster;
    const double bytes =
        (bytes_per_row(problem_) + transfer.bytes_per_selection) / problem_.microbatches;
    const RankTraffic peers_only = {.same_node_peers = nodes_.near_peers(rank),
                                    .other_node_peers = nodes_.far_peers(rank)};
    RankTraffic traffic = peers_only;
    traffic.same_node_bytes = busier_[rank].same_node * bytes;
    traffic.other_node_bytes = busier_[rank].other_node * bytes;
    const int more_calls = transfer.calls - 1 + (transfer.has_counts ? 1 : 0);
    return all_to_all_seconds(cluster, traffic) +
           more_calls * all_to_all_seconds(cluster, peers_only);
  }

 private:
  const PlanProblem& problem_;
  const RankNodes& nodes_;
  std::vector<BusierRows> busier_;
};

/// Rows that cross to each node, [nodes], in a step. Of replicas of the same rows one serves.
std::vector<double> rows_to_nodes(const PlanLayer& layer, const LayerPlacement& placement,
                                  const RankNodes& nodes) {
  const std::vector<std::int64_t> loads = effective_loads(layer);
  std::vector<double> rows(static_cast<std::size_t>(nodes.nodes()), 0.0);
  std::vector<double> served = rows;     // of the slices with the same begin: share by node
  std::vector<double> of_expert = rows;  // the most of any begin: the part of its tokens that cross
  const std::vector<PlacedSlice>& slices = placement.slices;  // by (expert, begin, rank)
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const PlacedSlice& slice = slices[i];
    const int node = nodes.node_of(slice.rank);
    served[node] += slice.share;
    of_expert[node] = std::max(of_expert[node], std::min(1.0, served[node]));
    const bool ends_expert = i + 1 == slices.size() || slices[i + 1].expert != slice.expert;
    if (ends_expert || slices[i + 1].begin != slice.begin) std::ranges::fill(served, 0.0);
    if (!ends_expert) continue;
    for (std::size_t n = 0; n < rows.size(); ++n) {
      rows[n] += static_cast<double>(loads[slice.expert]) * of_expert[n];
    }
    std::ranges::fill(of_expert, 0.0);
  }
  return rows;
}

class TwoHops final : public Exchange {
 public:
  TwoHops(const PlanProblem& problem, const RankNodes& nodes, const PlanLayer& layer,
          const LayerPlacement& placement, const std::vector<RankRows>& rows)
      : problem_(problem), nodes_(nodes) {
    const std::vector<double> tokens(rows.size(), 1.0 / problem.ranks / problem.microbatches);
    TokenReach selections{{}, std::vector<double>(static_cast<std::size_t>(nodes_.nodes()), 0.0)};
    for (std::size_t rank = 0; rank < rows.size(); ++rank) {
      selections.to_rank.push_back(rows[rank].held);
      selections.to_node[nodes_.node_of(static_cast<int>(rank))] += rows[rank].held;
    }
    selections_ = two_hop_flows(nodes_, tokens, selections);
    rows_ = two_hop_flows(nodes_, tokens,
                          {selections.to_rank, rows_to_nodes(layer, placement, nodes_)});
  }

  double seconds(const Transfer& transfer, int rank) const override {
    const Cluster& cluster = *problem_.cluster;
    const double counts = all_to_all_seconds(cluster, {.same_node_peers = nodes_.near_peers(rank),
                                                       .other_node_peers = nodes_.far_peers(rank)});
    const TwoHopFlow bytes = two_hop_bytes(rows_[rank], bytes_per_row(problem_), selections_[rank],
                                           transfer.bytes_per_selection);
    return (transfer.has_counts ? counts : 0) + two_hop_seconds(cluster, nodes_, rank, bytes) +
           (transfer.calls - 1) * two_hop_seconds(cluster, nodes_, rank, {});
  }

 private:
  const PlanProblem& problem_;
  const RankNodes& nodes_;
  std::vector<TwoHopFlow> rows_;
  std::vector<TwoHopFlow> selections_;
};

}  // namespace

std::array<std::vector<double>, 4> transfer_seconds(const PlanProblem& problem, std::size_t layer,
                                                    const LayerPlacement& placement,
                                                    const std::vector<RankRows>& rows) {
  const RankNodes nodes = nodes_of_neighbours(problem.cluster->ranks_per_node, 0, problem.ranks);
  std::unique_ptr<Exchange> exchange;
  if (problem.two_hops && nodes.has_two_levels()) {
    exchange = std::make_unique<TwoHops>(problem, nodes, problem.layers[layer], placement, rows);
  } else {
    exchange = std::make_unique<OneHop>(problem, nodes, rows);
  }
  std::array<std::vector<double>, 4> seconds;
  for (std::size_t i = 0; i < kTransfers.size(); ++i) {
    for (int rank = 0; rank < problem.ranks; ++rank) {
      seconds[i].push_back(exchange->seconds(kTransfers[i], rank) * problem.microbatches);
    }
  }
  return seconds;
}

}  // namespace hetmoe
