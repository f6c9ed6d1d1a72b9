#include "parallel/placement/step_cost.h"
#include "parallel/placement/replicas.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "core/base/check.h"
#include "parallel/placement/cluster_speed.h"
#include "parallel/placement/cost.h"
#include "parallel/placement/exchange_cost.h"
#include "parallel/placement/rank_nodes.h"

namespace hetmoe {
namespace {

constexpr double kMatrices = 3;  // gate, up, down
constexpr double kGradientBytes = 4;
constexpr double kMomentBytes = 8;
void add_compute(const PlanProblem& problem, std::size_t layer, const LayerPlacement& placement,
                 std::vector<RankLayerCost>& ranks) {
  const std::vector<std::int64_t> loads = effective_loads(problem.layers[layer]);
  for (const PlacedSlice& slice : placement.slices) {
    const double rows =
        static_cast<double>(loads[slice.expert]) * slice.share / problem.microbatches;
    const double seconds =
        expert_forward_seconds(*problem.cluster, problem.hidden_size, rows, slice.width()) +
        expert_backward_seconds(*problem.cluster, problem.hidden_size, rows, slice.width(),
                                problem.recompute);
    ranks[slice.rank].compute_seconds += seconds * problem.microbatches;
  }
}

void add_exchange(const PlanProblem& problem, std::size_t layer, const LayerPlacement& placement,
                  const std::vector<RankRows>& rows, LayerStepCost& cost) {
  for (const std::vector<double>& transfer : transfer_seconds(problem, layer, placement, rows)) {
    for (int rank = 0; rank < problem.ranks; ++rank) {
      cost.ranks[rank].exchange_seconds += transfer[rank];
    }
    cost.exchange_seconds += std::ranges::max(transfer);
  }
}

/// Once a step: gradients of replicas to their owners, compute copies back.
void add_replicas(const PlanProblem& problem, const LayerPlacement& placement,
                  LayerStepCost& cost) {
  const RankNodes nodes = nodes_of_neighbours(problem.cluster->ranks_per_node, 0, problem.ranks);
  std::vector<RankTraffic> to_owners(static_cast<std::size_t>(problem.ranks));
  std::vector<RankTraffic> at_owners = to_owners;
  bool any = false;
  const PlacedSlice* owner = nullptr;
  for (const PlacedSlice& slice : placement.slices) {
    const bool is_replica = owner != nullptr && are_replicas(*owner, slice);
    if (!is_replica) {
      owner = &slice;
      continue;
    }
    any = true;
    const double parameters =
        static_cast<double>(slice.width()) * kMatrices * static_cast<double>(problem.hidden_size);
    const auto kind = nodes.are_apart(owner->rank, slice.rank) ? &RankTraffic::other_node_bytes
                                                               : &RankTraffic::same_node_bytes;
    to_owners[slice.rank].*kind += parameters * (kGradientBytes + problem.bytes_per_value);
    at_owners[owner->rank].*kind += parameters * (kGradientBytes + problem.bytes_per_value);
  }
  if (!any) return;
  double longest = 0;
  for (int rank = 0; rank < problem.ranks; ++rank) {
    const RankTraffic traffic = {
        std::max(to_owners[rank].same_node_bytes, at_owners[rank].same_node_bytes),
        std::max(to_owners[rank].other_node_bytes, at_owners[rank].other_node_bytes),
        2 * nodes.near_peers(rank), 2 * nodes.far_peers(rank)};  // two calls
    const double seconds = all_to_all_seconds(*problem.cluster, traffic);
    cost.ranks[rank].exchange_seconds += seconds;
    longest = std::max(longest, seconds);
  }
  cost.exchange_seconds += longest;
}

template <typename Term>
int busiest(const std::vector<RankLayerCost>& ranks, Term term) {
  const auto most = std::max_element(
      ranks.begin(), ranks.end(), [&](const auto& a, const auto& b) { return a.*term < b.*term; });
  return static_cast<int>(most - ranks.begin());
}

void add_memory(const PlanProblem& problem, const PlacedSlice& slice, bool is_replica,
                RankMemory& memory) {
  const double parameters =
      static_cast<double>(slice.width()) * kMatrices * static_cast<double>(problem.hidden_size);
  memory.weights += parameters * problem.bytes_per_value;
  memory.gradients += parameters * kGradientBytes;
  if (is_replica) return;
  memory.moments += parameters * kMomentBytes;
  memory.masters += parameters * std::max(0.0, problem.bytes_per_parameter - kGradientBytes -
                                                   kMomentBytes - problem.bytes_per_value);
}

}  // namespace

std::vector<RankRows> rows_of_ranks(const PlanLayer& layer, const LayerPlacement& placement,
                                    int ranks) {
  const std::vector<std::int64_t> loads = effective_loads(layer);
  std::vector<RankRows> rows(static_cast<std::size_t>(ranks));
  double all = 0;
  for (const PlacedSlice& slice : placement.slices) {
    const double tokens = static_cast<double>(loads[slice.expert]) * slice.share;
    rows[slice.rank].held += tokens;
    all += tokens;
  }
  for (RankRows& rank : rows) {
    rank.in = rank.held * (ranks - 1) / ranks;
    rank.out = (all - rank.held) / ranks;
  }
  return rows;
}

LayerStepCost price_layer(const PlanProblem& problem, std::size_t layer,
                          const LayerPlacement& placement) {
  HETMOE_CHECK(problem.cluster.has_value(), "a price in seconds needs a cluster");
  LayerStepCost cost;
  const std::vector<RankRows> rows = rows_of_ranks(problem.layers[layer], placement, problem.ranks);
  for (const RankRows& of_rank : rows) cost.ranks.push_back({.rows = of_rank});
  add_compute(problem, layer, placement, cost.ranks);
  add_exchange(problem, layer, placement, rows, cost);
  add_replicas(problem, placement, cost);
  cost.compute_rank = busiest(cost.ranks, &RankLayerCost::compute_seconds);
  cost.compute_seconds = cost.ranks[cost.compute_rank].compute_seconds;
  cost.exchange_rank = busiest(cost.ranks, &RankLayerCost::exchange_seconds);
  cost.fixed_seconds = problem.cluster->layer_seconds * problem.microbatches;
  return cost;
}

StepSeconds predict_step(const PlanProblem& problem, const Placement& placement) {
  StepSeconds step;
  for (std::size_t layer = 0; layer < placement.layers.size(); ++layer) {
    const LayerStepCost cost = price_layer(problem, layer, placement.layers[layer]);
    step.compute += cost.compute_seconds;
    step.exchange += cost.exchange_seconds;
    step.fixed += cost.fixed_seconds;
  }
  return step;
}

std::vector<RankMemory> memory_of_ranks(const PlanProblem& problem, const Placement& placement) {
  const bool is_kept = problem.recompute == Recompute::kNone;
  std::vector<RankMemory> ranks(static_cast<std::size_t>(problem.ranks));
  std::vector<double> made(ranks.size(), 0.0);  // products with gate and up, in bytes
  for (std::size_t layer = 0; layer < placement.layers.size(); ++layer) {
    const std::vector<std::int64_t> loads = effective_loads(problem.layers[layer]);
    const PlacedSlice* previous = nullptr;
    std::vector<double> gate_up(ranks.size(), 0.0);
    for (const PlacedSlice& slice : placement.layers[layer].slices) {
      const bool is_replica = previous != nullptr && are_replicas(*previous, slice);
      add_memory(problem, slice, is_replica, ranks[slice.rank]);
      const double rows =
          static_cast<double>(loads[slice.expert]) * slice.share / problem.microbatches;
      const auto hidden = static_cast<double>(problem.hidden_size);
      ranks[slice.rank].activations += rows * hidden * problem.bytes_per_value;
      gate_up[slice.rank] +=
          rows * 2 * static_cast<double>(slice.width()) * problem.bytes_per_value;
      previous = &slice;
    }
    for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
      made[rank] = is_kept ? made[rank] + gate_up[rank] : std::max(made[rank], gate_up[rank]);
    }
  }
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) ranks[rank].activations += made[rank];
  return ranks;
}

}  // namespace hetmoe
