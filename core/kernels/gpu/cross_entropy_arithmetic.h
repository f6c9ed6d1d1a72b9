#pragma once

#include <kernel_language.h>

#include <cfloat>

namespace hetmoe::gpu {

/// Sum of exp(value) over values seen one at a time, kept as sum * exp(largest) so that it never
/// overflows. It begins below every finite value, not at minus infinity, whose difference to itself
/// would be NaN. A NaN or plus infinity among the values makes the sum NaN.
struct ExponentialSum {
  float largest = -FLT_MAX;
  float sum = 0.0F;
};

__host__ __device__ __forceinline__ void add_exponential(ExponentialSum& to, float value) {
  if (value > to.largest) {
    to.sum = to.sum * expf(to.largest - value) + 1.0F;
    to.largest = value;
  } else {
    to.sum += expf(value - to.largest);
  }
}

/// What the sum is for another `largest`.
__host__ __device__ __forceinline__ float rescaled(const ExponentialSum& from, float largest) {
  return from.sum * expf(from.largest - largest);
}

}  // namespace hetmoe::gpu
