#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "core/kernels/on_gpu/experts.h"
#include "core/model/gpu_routing.h"
#include "core/model/token_dispatcher.h"

namespace hetmoe {

/// TokenExchange (token_dispatcher.h) on a GPU: the same eight calls in the same order, enqueued;
/// what they give may be used by what follows on the compute stream. Tokens travel in parts, so
/// that one part's experts are busy while the next part comes and the last one returns: calls with
/// a part come once for each, ascending; start_combine may come before the next part's
/// finish_dispatch. The host waits once, in the first finish_dispatch: how many rows come is known
/// to the GPU alone until then. By then all has happened that the compute stream was given before
/// start_dispatch.
class GpuTokenExchange {
 public:
  virtual ~GpuTokenExchange() = default;

  virtual int parts() const = 0;  ///< the same on all ranks

  struct Received {
    at::Tensor x;                ///< [R, D], compute type
    on_gpu::SlicePlaces places;  ///< of this rank's slices
  };
  virtual Received finish_dispatch(int part) = 0;
  virtual void start_combine(int part, const at::Tensor& partial) = 0;
  /// y [T, D].
  virtual at::Tensor finish_combine() = 0;

  virtual void start_dispatch_gradient(const at::Tensor& dy) = 0;
  virtual at::Tensor finish_dispatch_gradient(int part) = 0;
  /// dgate [places of the part] fp32.
  virtual void start_combine_gradient(int part, const at::Tensor& partial,
                                      const at::Tensor& dgate) = 0;
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
