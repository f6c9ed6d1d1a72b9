#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/model/on_gpu/token_pairs.h"
#include "parallel/dispatch/traffic.h"
#include "parallel/placement/placement.h"

namespace hetmoe::on_gpu {

/// Where a layer's slices lie, as their tokens' sources and destinations need it. A layer's slices
/// are numbered rank by rank, each rank's as it holds them.
class PlacedLayer {
 public:
  /// For `rank` of so many, whose tokens travel in `parts` parts, or in fewer if the layer has too
  /// many slices to sort by both.
  PlacedLayer(const LayerPlacement& placement, int rank, int num_ranks, int parts);

  const Parts& parts() const { return parts_; }
  const ServerTable& servers() const { return servers_; }
  const Counts& slices_of_rank() const { return slices_of_rank_; }
  std::int64_t slices_here() const { return slices_of_rank_[rank_]; }
  /// The most slices here that a token concerns which selects so many experts.
  std::int64_t most_pairs_of_row(std::int64_t selections) const;
  /// Counts of rows [parts, ranks] followed by counts of pairs [parts, slices], in the order in
  /// which they are sent: for every rank and part its rows, then its slices' pairs. int32, on the
  /// GPU.
  const at::Tensor& count_order() const { return count_order_; }

 private:
  std::size_t rank_;
  Counts slices_of_rank_;
  Counts slices_of_expert_;  ///< here, largest first
  Parts parts_;
  ServerTable servers_;
  at::Tensor count_order_;
};

}  // namespace hetmoe::on_gpu
