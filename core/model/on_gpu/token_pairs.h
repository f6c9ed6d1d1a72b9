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
  /// One entry per slice: who computes it, its number among the layer's slices, rank by rank, and
  /// for which part of the tokens.
  struct Server {
    std::int32_t rank = 0;
    std::int32_t slice = 0;
    double share = 1;
  };
  /// The servers of the same rows; more than one are replicas, whose shares sum to 1.
  using Run = std::vector<Server>;
  /// of_expert[e]: by row.
  explicit ServerTable(const std::vector<std::vector<Run>>& of_expert);

  gpu::SliceServers servers() const;
  /// The most runs that one expert is cut into.
  std::int64_t most_runs() const { return most_runs_; }
  std::int64_t num_experts() const { return begin_.size(0) - 1; }
  std::int64_t num_slices() const { return rank_.size(0); }
  bool has_replicas() const { return num_slices() > server_begin_.size(0) - 1; }

 private:
  at::Tensor begin_, server_begin_, rank_, slice_, share_end_;
  std::int64_t most_runs_ = 0;
};

/// In how many parts a rank's tokens travel: all of the same number but the last, which may be
/// short or empty.
struct Parts {
  int count = 1;
  std::int64_t num_ranks = 1;
};

/// Where tokens go: their pairs (gpu/dispatch.h), and the pairs' places when sorted by part and
/// slice.
struct PlacedPairs {
  PlacedPairs(const GpuRouting& routing, const ServerTable& table, const Parts& parts = {});

  gpu::Selections selections() const;
  gpu::TokenPairs pairs() const;

  at::Tensor offset, expert, gate;  ///< of the routing
  std::int64_t pairs_per_token = 0;
  at::Tensor slice, selection, row_rank, first;  ///< gpu::TokenPairs
  at::Tensor position;  ///< [pairs] int32 among all, sorted by part and slice
  at::Tensor count;     ///< [parts * slices] int32
};

/// Items by bucket (gpu/bucket_sort.h).
struct Buckets {
  at::Tensor count, position;
};
Buckets sort_by_bucket(const at::Tensor& key, std::int64_t buckets);

/// Where each bucket begins: [buckets + 1] int32 (gpu/exclusive_sum.h).
at::Tensor begins_of(const at::Tensor& count);

/// Gate gradients of the selections, [room of the routing], from those of the sorted pairs.
at::Tensor gate_gradients(const PlacedPairs& pairs, const at::Tensor& dgate_of_pair);

}  // namespace hetmoe::on_gpu
