#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/kernels/on_gpu/experts.h"
#include "core/model/gpu_routing.h"
#include "core/model/token_dispatcher.h"

namespace hetmoe {

/// TokenExchange (token_dispatcher.h) on a GPU: the same eight calls in the same order, enqueued;
/// what they give may be used by what follows on the compute stream. The host waits once, in
/// finish_dispatch: how many rows come is known to the GPU alone until then. By then all has
/// happened that the compute stream was given before start_dispatch.
class GpuTokenExchange {
 public:
  virtual ~GpuTokenExchange() = default;

  struct Received {
    at::Tensor x;                ///< [R, D], compute type
    on_gpu::SlicePlaces places;  ///< of this rank's slices
  };
  virtual Received finish_dispatch() = 0;
  virtual void start_combine(const at::Tensor& partial) = 0;
  virtual at::Tensor finish_combine() = 0;

  virtual void start_dispatch_gradient(const at::Tensor& dy) = 0;
  virtual at::Tensor finish_dispatch_gradient() = 0;
  /// dgate [places] fp32.
  virtual void start_combine_gradient(const at::Tensor& partial, const at::Tensor& dgate) = 0;
  struct Gradient {
    at::Tensor dx;     ///< [T, D], compute type
    at::Tensor dgate;  ///< [room of the routing] fp32
  };
  virtual Gradient finish_combine_gradient() = 0;
};

/// TokenDispatcher on a GPU.
class GpuTokenDispatcher {
 public:
  virtual ~GpuTokenDispatcher() = default;
  virtual std::unique_ptr<GpuTokenExchange> start_dispatch(int layer, const at::Tensor& x,
                                                           const GpuRouting& routing) = 0;
  virtual ExchangedBytes bytes_sent() const = 0;
};

}  // namespace hetmoe
