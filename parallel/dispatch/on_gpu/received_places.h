#pragma once

#include <ATen/core/Tensor.h>

#include "core/kernels/on_gpu/experts.h"
#include "parallel/dispatch/on_gpu/count_exchange.h"

namespace hetmoe::on_gpu {

struct ReceivedPlaces {
  SlicePlaces places;  ///< sorted by slice, then by source, then by token
  at::Tensor of_pair;  ///< [pairs] int32: the place of each pair that came
};

/// Where the pairs go that came to this rank. Made first, which takes tables from the host; then,
/// once they are there, placed. The host does not wait.
class ReceivedPlacing {
 public:
  /// pairs_per_row: the most slices here that a row concerns.
  ReceivedPlacing(const ExchangedCounts& counts, std::int64_t pairs_per_row);

  /// wire: gpu::PairOnWire of each pair, as bytes; by source, each source's by slice, then by
  /// token.
  ReceivedPlaces place(const at::Tensor& wire) const;

 private:
  std::int64_t sources_, slices_, pairs_, rows_, pairs_per_row_;
  std::vector<std::int64_t> of_slice_;
  at::Tensor pair_begin_, place_begin_, row_begin_;
};

}  // namespace hetmoe::on_gpu
