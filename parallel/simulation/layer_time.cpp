#include "parallel/simulation/layer_time.h"

#include <cstddef>
#include <cstdint>

#include "parallel/placement/cluster_speed.h"

namespace hetmoe {
namespace {

/// Calls body(slice) for every slice, neighbours of one expert on one rank as one slice, which is
/// how the kernels see them.
template <typename Body>
void for_each_merged(const LayerPlacement& placement, Body body) {
  const std::vector<PlacedSlice>& slices = placement.slices;
  for (std::size_t i = 0; i < slices.size();) {
    PlacedSlice merged = slices[i++];
    while (i < slices.size() && slices[i].expert == merged.expert &&
           slices[i].rank == merged.rank && slices[i].begin == merged.end)
      merged.end = slices[i++].end;
    body(merged);
  }
}

}  // namespace

std::vector<LayerTime> layer_times(const Cluster& cluster, const SimulatedWorld& world, int group,
                                   const RoutedTokens& routed, const LayerPlacement& placement) {
  const int size = world.expert_group_size;
  const TokenDestinations destinations = destinations_of(
      routed, placement, nodes_of_neighbours(world.ranks_per_node, group * size, size));
  const std::vector<ExchangeSeconds> exchanges =
      exchange_seconds(cluster, world, group, destinations);
  double group_tokens = 0;
  for (int i = 0; i < size; ++i) group_tokens += world.tokens(group * size + i);
  std::vector<LayerTime> times(static_cast<std::size_t>(size));
  for (int i = 0; i < size; ++i) {
    times[i].exchange = exchanges[i];
    times[i].received_rows = group_tokens * destinations.rows[i];
  }
  const std::int64_t hidden_size = world.model.hidden_size;
  for_each_merged(placement, [&](const PlacedSlice& slice) {
    const double rows = group_tokens * routed.selected[slice.expert];
    LayerTime& time = times[slice.rank];
    time.expert_forward += expert_forward_seconds(cluster, hidden_size, rows, slice.width());
    time.expert_backward +=
        expert_backward_seconds(cluster, hidden_size, rows, slice.width(), world.recompute);
    time.hidden_values += rows * static_cast<double>(slice.width());
  });
  return times;
}

}  // namespace hetmoe
