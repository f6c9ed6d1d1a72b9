#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "core/gpu/stream.h"
#include "parallel/communicator/communicator.h"
#include "parallel/dispatch/on_gpu/placed_layer.h"
#include "parallel/dispatch/traffic.h"

namespace hetmoe::on_gpu {

/// What one part of a dispatch moves, known to the host.
struct ExchangedCounts {
  Counts rows_to_rank;     ///< [ranks]
  Counts pairs_to_rank;    ///< [ranks]
  Counts rows_from_rank;   ///< [ranks]
  Counts pairs_from_rank;  ///< [ranks]
  Counts pairs_of_slice;   ///< [ranks * slices here]: what each source sends to each slice
};

/// Tells every rank how much comes to it, and the host of each how much comes and goes. The calls
/// come once each, in this order; the communicator's rules hold for the first.
class CountExchange {
 public:
  /// Starts. rows_to_rank [parts * ranks] and pairs_of_slice [parts * slices of the layer] int32,
  /// on the GPU. `layer` must outlive it.
  CountExchange(Communicator& group, const PlacedLayer& layer, const at::Tensor& rows_to_rank,
                const at::Tensor& pairs_of_slice);

  /// The compute stream waits for the peers' counts; the host does not. What it is given after this
  /// is not waited for by the next call.
  void start_copies();
  /// The host waits: for what its stream was given before start_copies, and for its peers'. By
  /// part.
  std::vector<ExchangedCounts> wait();

 private:
  const PlacedLayer& layer_;
  at::Tensor sent_, received_;                  ///< on the GPU
  at::Tensor sent_on_host_, received_on_host_;  ///< pinned
  gpu::OwnedEvent copied_;
  std::optional<Pending> pending_;  // last: its buffers are above
};

}  // namespace hetmoe::on_gpu
