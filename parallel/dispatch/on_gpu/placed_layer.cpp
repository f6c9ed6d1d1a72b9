#include "parallel/dispatch/on_gpu/placed_layer.h"

#include <algorithm>
#include <functional>
#include <span>

#include "core/kernels/gpu/bucket_sort.h"
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

at::Tensor order_of_counts(const Counts& slices_of_rank, std::int64_t parts) {
  const auto ranks = static_cast<std::int64_t>(slices_of_rank.size());
  const std::int64_t slices = sum(slices_of_rank);
  std::vector<std::int32_t> order;
  std::int64_t first_slice = 0;
  for (std::int64_t rank = 0; rank < ranks; ++rank) {
    const std::int64_t here = slices_of_rank[static_cast<std::size_t>(rank)];
    for (std::int64_t part = 0; part < parts; ++part) {
      order.push_back(static_cast<std::int32_t>(part * ranks + rank));
      for (std::int64_t i = 0; i < here; ++i) {
        order.push_back(static_cast<std::int32_t>(parts * ranks + part * slices + first_slice + i));
      }
    }
    first_slice += here;
  }
  return uploaded(std::span<const std::int32_t>(order), at::kInt);
}

int parts_that_fit(int parts, std::int64_t slices, std::int64_t ranks) {
  const std::int64_t most = std::max<std::int64_t>(gpu::kMostBuckets / std::max(slices, ranks), 1);
  return static_cast<int>(std::min<std::int64_t>(parts, most));
}

}  // namespace

PlacedLayer::PlacedLayer(const LayerPlacement& placement, int rank, int num_ranks, int parts)
    : rank_(static_cast<std::size_t>(rank)),
      slices_of_rank_(count_slices(placement, num_ranks)),
      slices_of_expert_(slices_by_expert(placement, rank)),
      parts_{.count = parts_that_fit(parts, sum(slices_of_rank_), num_ranks),
             .num_ranks = num_ranks},
      servers_(numbered(servers_of(placement, num_ranks), slices_of_rank_)),
      count_order_(order_of_counts(slices_of_rank_, parts_.count)) {}

std::int64_t PlacedLayer::most_pairs_of_row(std::int64_t selections) const {
  const auto experts = std::min(selections, static_cast<std::int64_t>(slices_of_expert_.size()));
  return std::reduce(slices_of_expert_.begin(), slices_of_expert_.begin() + experts,
                     std::int64_t{0});
}

}  // namespace hetmoe::on_gpu
