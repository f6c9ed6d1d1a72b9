#pragma once

#include <kernel_language.h>

namespace hetmoe::gpu {

/// One hidden unit of an expert: h = gate * silu(g) * u.
__host__ __device__ __forceinline__ float swiglu(float g, float u, float gate) {
  return gate * (g / (1.0F + expf(-g))) * u;
}

/// Gradients of one hidden unit; z: that of silu(g) * u before the gate, times no gate.
struct SwigluGradient {
  float dg;
  float du;
  float hidden;  ///< gate * silu(g) * u, for the gradient of down
  float dgate;   ///< this unit's part
};

__host__ __device__ __forceinline__ SwigluGradient swiglu_gradient(float g, float u, float z,
                                                                   float gate) {
  const float sigmoid = 1.0F / (1.0F + expf(-g));
  const float silu = g * sigmoid;
  const float da = z * gate;
  return {da * u * sigmoid * (1.0F + g * (1.0F - sigmoid)), da * silu, gate * silu * u,
          silu * u * z};
}

}  // namespace hetmoe::gpu
