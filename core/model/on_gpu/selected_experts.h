#pragma once

#include <ATen/core/Tensor.h>

#include "core/gpu/stream.h"
#include "core/model/gpu_routing.h"
#include "core/model/routing.h"

namespace hetmoe::on_gpu {

/// The experts that tokens selected, on their way to the host: the small expert groups tokens by
/// them.
class SelectedExperts {
 public:
  /// Enqueues the copy on the compute stream; the host does not wait.
  explicit SelectedExperts(const GpuRouting& routing);

  /// The host's lists, with the GPU's probabilities and no gates. It does not wait: the host must
  /// have done so for what the compute stream was given up to the constructor, which is checked.
  Routing routing() const;

 private:
  at::Tensor probabilities_;
  at::Tensor mask_;  ///< of the host
  gpu::OwnedEvent copied_;
};

}  // namespace hetmoe::on_gpu
