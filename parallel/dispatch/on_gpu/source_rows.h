#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "core/model/on_gpu/token_pairs.h"

namespace hetmoe::on_gpu {

/// What a rank sends, worked out on the GPU: rows by part, rank and token, pairs by part, slice and
/// token. Lists have room for what the routing allows; how much of it is used the host
/// learns later. The host does not wait.
struct SourceRows {
  /// Counts rows and pairs.
  SourceRows(const GpuRouting& routing, const ServerTable& servers, const Parts& parts);
  /// Fills the lists. Apart, so that counts are on their way meanwhile. Once.
  void write_lists();

  PlacedPairs pairs;
  at::Tensor rows_to_rank;  ///< [parts * ranks] int32
  at::Tensor row_token;     ///< [room of rows] int32: the token of each row
  at::Tensor token_rows;    ///< [T, n] int32: the rows of each token in rank order; < 0: none
  at::Tensor wire;          ///< gpu::PairOnWire of each pair, as bytes

 private:
  std::int64_t num_ranks_;
  at::Tensor row_position_;
};

}  // namespace hetmoe::on_gpu
