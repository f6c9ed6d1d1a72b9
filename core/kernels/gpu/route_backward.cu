#include <kernel_language.h>

#include "core/kernels/gpu/packs.h"
#include "core/kernels/gpu/reductions.h"
#include "core/kernels/gpu/router.h"
#include "core/kernels/gpu/router_arithmetic.h"
#include "core/kernels/gpu/token_warps.h"

namespace hetmoe::gpu {
namespace {

__device__ float dgate_of(const RoutedTokens& routed, const RoutingGradient& gradient,
                          std::int64_t selection) {
  const float dgate = gradient.dgate[selection];
  if (gradient.released_gate == nullptr) return dgate;
  return dgate + gradient.released_gate[routed.expert[selection]];
}

/// dp = what every expert's P gets, whether selected or not. A lane has the experts lane + 32 j, in
/// dp as in all that follows: nobody reads what another lane has written.
__device__ void shared_part(const RoutingGradient& gradient, const float* p, float* dp,
                            unsigned experts, unsigned lane) {
  for (unsigned e = lane; e < experts; e += kWarp) {
    float value = gradient.shared != nullptr ? gradient.shared[e] : 0.0F;
    if (gradient.entropy_factor != 0) value += entropy_gradient(p[e], gradient.entropy_factor);
    dp[e] = value;
  }
}

/// dp += what the selected experts' P get by their gates.
__device__ void add_selected(const RoutedTokens& routed, const RoutingGradient& gradient,
                             std::int64_t token, const float* p, float* dp, unsigned lane) {
  const std::int32_t begin = routed.offset[token];
  const std::int32_t end = routed.offset[token + 1];
  float sum = 0;
  float projection = 0;
  for (std::int64_t s = begin + static_cast<std::int64_t>(lane); s < end; s += kWarp) {
    sum += p[routed.expert[s]];
    projection += dgate_of(routed, gradient, s) * routed.gate[s];
  }
  sum = warp_sum(sum);
  projection = warp_sum(projection);
  const float dmass = gradient.dmass != nullptr ? gradient.dmass[token] : 0.0F;
  for (std::int64_t s = begin; s < end; ++s) {
    const auto expert = static_cast<unsigned>(routed.expert[s]);
    if (expert % kWarp != lane) continue;
    dp[expert] +=
        gate_gradient(dgate_of(routed, gradient, s), projection, sum, gradient.renormalize) + dmass;
  }
}

__global__ void __launch_bounds__(kTokensPerBlock* kWarp)
    backward_kernel(RoutedTokens routed, RoutingGradient gradient, float* dlogits) {
  const std::int64_t token = token_of_warp();
  if (token >= routed.tokens) return;
  const unsigned lane = lane_of_warp();
  const auto experts = static_cast<unsigned>(routed.experts);
  const float* p = routed.probability + token * experts;
  float* dp = dlogits + token * experts;
  shared_part(gradient, p, dp, experts, lane);
  add_selected(routed, gradient, token, p, dp, lane);
  float dot = 0;
  for (unsigned e = lane; e < experts; e += kWarp) dot += dp[e] * p[e];
  dot = warp_sum(dot);
  for (unsigned e = lane; e < experts; e += kWarp) dp[e] = p[e] * (dp[e] - dot);
}

__global__ void __launch_bounds__(kRowThreads)
    shared_kernel(const double* global_selected, const double* factor, float* shared,
                  std::int64_t experts) {
  for (std::int64_t e = threadIdx.x; e < experts; e += blockDim.x) {
    shared[e] = static_cast<float>(factor[e] * global_selected[e]);
  }
}

}  // namespace

void shared_probability_gradient(const double* global_selected, const double* factor, float* shared,
                                 std::int64_t experts, Stream stream) {
  launch("shared_probability_gradient", {.threads = threads_of_row(experts, 1)}, stream,
         &shared_kernel, global_selected, factor, shared, experts);
}

void route_backward(const RoutedTokens& routed, const RoutingGradient& gradient, float* dlogits,
                    Stream stream) {
  if (routed.tokens == 0) return;
  launch("route_backward", grid_of_tokens(routed.tokens), stream, &backward_kernel, routed,
         gradient, dlogits);
}

}  // namespace hetmoe::gpu
