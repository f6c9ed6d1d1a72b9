#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "core/model/gpu_routing.h"
#include "core/model/model_config.h"

namespace hetmoe::on_gpu {

/// `route` of core/model/router.h: the same rules and ties, in fp32. Shape: logits [T, E] fp32.
GpuRouting route(const at::Tensor& logits, const RouterConfig& config,
                 std::span<const std::int32_t> forced);

/// Adds to one layer's statistics, [2 E + 3] fp64. relative_width [E] fp64.
void add_statistics(const GpuRouting& routing, const at::Tensor& relative_width,
                    const at::Tensor& statistics);

/// AuxiliaryGradient of core/model/router.h.
struct AuxiliaryGradient {
  const RouterConfig& config;
  std::span<const double> relative_width;  ///< of the host
  at::Tensor global_selected;              ///< [E] fp64
  std::int64_t global_tokens = 0;
  std::int64_t microbatches = 1;
};

/// Gradient of the logits [T, E]. dgate [room] fp32; dmass [T] fp32 or undefined.
at::Tensor route_backward(const GpuRouting& routing, const at::Tensor& dgate,
                          const at::Tensor& dmass, const AuxiliaryGradient& auxiliary);

}  // namespace hetmoe::on_gpu
