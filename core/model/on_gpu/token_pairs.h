#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/kernels/gpu/dispatch.h"
#include "core/model/gpu_routing.h"

namespace hetmoe::on_gpu {

/// The slices of every expert of a layer and their ranks, on the GPU (gpu::SliceServers).
class ServerTable {
 public:
  /// One entry per slice: who computes it, and its number among the layer's slices, rank by rank.
  struct Server {
    std::int32_t rank = 0;
    std::int32_t slice = 0;
  };
  /// of_expert[e]: by row.
  explicit ServerTable(const std::vector<std::vector<Server>>& of_expert);

  gpu::SliceServers servers() const;
  /// The most slices that one expert is cut into.
  std::int64_t most_slices() const { return most_slices_; }
  std::int64_t num_slices() const { return num_slices_; }

 private:
  at::Tensor begin_, rank_, slice_;
  std::int64_t most_slices_ = 0;
  std::int64_t num_slices_ = 0;
};

/// Where tokens go: their pairs (gpu/dispatch.h), and the pairs' places when sorted by slice.
struct PlacedPairs {
  PlacedPairs(const GpuRouting& routing, const ServerTable& table);

  gpu::Selections selections() const;
  gpu::TokenPairs pairs() const;

  at::Tensor offset, expert, gate;  ///< of the routing
  std::int64_t pairs_per_token = 0;
  at::Tensor slice, selection, row_rank, first;  ///< gpu::TokenPairs
  at::Tensor position;                           ///< [pairs] int32 among all, sorted by slice
  at::Tensor count;                              ///< [slices] int32
};

/// Items by bucket (gpu/bucket_sort.h).
struct Buckets {
  at::Tensor count, position;
};
Buckets sort_by_bucket(const at::Tensor& key, std::int64_t buckets);

/// Gate gradients of the selections, [room of the routing], from those of the sorted pairs.
at::Tensor gate_gradients(const PlacedPairs& pairs, const at::Tensor& dgate_of_pair);

}  // namespace hetmoe::on_gpu
