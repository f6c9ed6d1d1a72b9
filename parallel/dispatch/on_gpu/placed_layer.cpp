#include "parallel/dispatch/on_gpu/placed_layer.h"

#include <algorithm>
#include <functional>
#include <span>

#include "core/tensor/device.h"
#include "parallel/dispatch/slice_servers.h"
#include "parallel/placement/held_slices.h"

namespace hetmoe::on_gpu {
namespace {

Counts count_slices(const LayerPlacement& placement, int num_ranks) {
  Counts slices;
  for (int rank = 0; rank < num_ranks; ++rank) {
    slices.push_back(static_cast<std::int64_t>(held_slices(placement, 0, rank).size()));
  }
  return slices;
}

Counts slices_by_expert(const LayerPlacement& placement, int rank) {
  Counts slices;
  int expert = -1;
  for (const HeldSlice& held : held_slices(placement, 0, rank)) {
    if (held.slice.expert != expert) slices.push_back(0);
    expert = held.slice.expert;
    ++slices.back();
  }
  std::sort(slices.begin(), slices.end(), std::greater<>());
  return slices;
}

std::vector<std::vector<ServerTable::Run>> numbered(const LayerServers& servers,
                                                    const Counts& slices_of_rank) {
  Counts begin(slices_of_rank.size());
  std::exclusive_scan(slices_of_rank.begin(), slices_of_rank.end(), begin.begin(), std::int64_t{0});
  std::vector<std::vector<ServerTable::Run>> experts;
  for (const std::vector<RangeServers>& ranges : servers.of_expert) {
    experts.emplace_back();
    for (const RangeServers& range : ranges) {
      ServerTable::Run& run = experts.back().emplace_back();
      for (const SliceServer& server : range) {
        const std::int64_t number = begin[static_cast<std::size_t>(server.rank)] + server.slice;
        run.push_back({.rank = server.rank,
                       .slice = static_cast<std::int32_t>(number),
                       .share = server.share});
      }
    }
  }
  return experts;
}

at::Tensor order_of_counts(const Counts& slices_of_rank) {
  std::vector<std::int32_t> order;
  auto next_slice = static_cast<std::int32_t>(slices_of_rank.size());
  for (std::size_t rank = 0; rank < slices_of_rank.size(); ++rank) {
    order.push_back(static_cast<std::int32_t>(rank));
    for (std::int64_t i = 0; i < slices_of_rank[rank]; ++i) order.push_back(next_slice++);
  }
  return uploaded(std::span<const std::int32_t>(order), at::kInt);
}

}  // namespace

PlacedLayer::PlacedLayer(const LayerPlacement& placement, int rank, int num_ranks)
    : rank_(static_cast<std::size_t>(rank)),
      slices_of_rank_(count_slices(placement, num_ranks)),
      slices_of_expert_(slices_by_expert(placement, rank)),
      servers_(numbered(servers_of(placement, num_ranks), slices_of_rank_)),
      count_order_(order_of_counts(slices_of_rank_)) {}

std::int64_t PlacedLayer::most_pairs_of_row(std::int64_t selections) const {
  const auto experts = std::min(selections, static_cast<std::int64_t>(slices_of_expert_.size()));
  return std::reduce(slices_of_expert_.begin(), slices_of_expert_.begin() + experts,
                     std::int64_t{0});
}

}  // namespace hetmoe::on_gpu
