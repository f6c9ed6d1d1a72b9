#include "parallel/simulation/update_time.h"

#include <algorithm>

#include "parallel/placement/cluster_speed.h"
#include "parallel/placement/update_bytes.h"

namespace hetmoe {
namespace {

constexpr double kGradientBytes = 4;

/// The ranks among which one class of tensors is reduced, as one of them sees it.
struct Peers {
  int same_node = 0;
  int other_node = 0;

  int all() const { return same_node + other_node; }
};

Peers peers_of(const SimulatedWorld& world, int rank, int first, int stride) {
  const int same = peers_on_node(world, rank, first, world.ranks(), stride);
  return {.same_node = same, .other_node = (world.ranks() - first - 1) / stride - same};
}

/// All peers send or get `owned` of this rank; this rank sends or gets the rest of `held`, evenly.
double exchange_seconds(const Cluster& cluster, const Peers& peers, double held_bytes,
                        double owned_bytes) {
  if (peers.all() == 0) return 0;
  const double to_peer = std::max((held_bytes - owned_bytes) / peers.all(), owned_bytes);
  return all_to_all_seconds(cluster, {.same_node_bytes = to_peer * peers.same_node,
                                      .other_node_bytes = to_peer * peers.other_node,
                                      .same_node_peers = peers.same_node,
                                      .other_node_peers = peers.other_node});
}

}  // namespace

std::vector<UpdateSeconds> update_seconds(const Cluster& cluster, const SimulatedWorld& world,
                                          const std::vector<HeldParameters>& held) {
  const double copy_bytes = world.value_bytes();
  std::vector<UpdateSeconds> seconds;
  for (int rank = 0; rank < world.ranks(); ++rank) {
    const HeldParameters& own = held[rank];
    const Peers dense = peers_of(world, rank, 0, 1);
    const Peers slices =
        peers_of(world, rank, rank % world.expert_group_size, world.expert_group_size);
    const auto both = [&](double bytes) {
      return exchange_seconds(cluster, dense, own.dense * bytes, own.owned_dense * bytes) +
             exchange_seconds(cluster, slices, own.slices * bytes, own.owned_slices * bytes);
    };
    const double received = own.owned_dense * dense.all() + own.owned_slices * slices.all();
    const double summed_bytes = received * kGradientBytes;
    const double update_bytes = own.owned() * update_bytes_per_parameter(world.is_bf16);
    const double squared_and_cleared = (own.owned() + own.held()) * kGradientBytes;
    seconds.push_back(
        {.gradients = both(kGradientBytes) + summed_bytes / cluster.memory_bytes_per_second,
         .optimizer = update_bytes / cluster.optimizer_bytes_per_second +
                      squared_and_cleared / cluster.memory_bytes_per_second,
         .parameters = both(copy_bytes)});
  }
  return seconds;
}

}  // namespace hetmoe
