#pragma once

#include <kernel_language.h>

#include <cfloat>
#include <cstdint>
#include <cstring>

namespace hetmoe::gpu {

__host__ __device__ __forceinline__ bool is_finite(float value) { return fabsf(value) <= FLT_MAX; }

/// mask_words of router.h, for kernels.
__host__ __device__ __forceinline__ unsigned words_of(std::int64_t experts) {
  return (static_cast<unsigned>(experts) + 31) / 32;
}

/// An expert and its probability as one number, so that the largest is the most probable expert and
/// among equals the lowest. Bits of floats that are not negative are ordered as they are. 0 stands
/// for no expert.
__host__ __device__ __forceinline__ std::uint64_t candidate(float probability,
                                                            std::uint32_t expert) {
  std::uint32_t bits = 0;
  memcpy(&bits, &probability, sizeof bits);
  return (static_cast<std::uint64_t>(bits) << 32) | (0xffffffffU - expert);
}
__host__ __device__ __forceinline__ std::uint32_t expert_of(std::uint64_t candidate) {
  return 0xffffffffU - static_cast<std::uint32_t>(candidate);
}
__host__ __device__ __forceinline__ float probability_of(std::uint64_t candidate) {
  const auto bits = static_cast<std::uint32_t>(candidate >> 32);
  float probability = 0.0F;
  memcpy(&probability, &bits, sizeof bits);
  return probability;
}

/// What P of a selected expert is divided by; `sum` of P over the selected ones.
__host__ __device__ __forceinline__ float gate_divisor(float sum, bool renormalize) {
  return renormalize && sum > 0.0F ? sum : 1.0F;
}

/// -P log P, and factor times its derivative.
__host__ __device__ __forceinline__ float entropy_term(float probability) {
  return probability > 0.0F ? -probability * logf(probability) : 0.0F;
}
__host__ __device__ __forceinline__ float entropy_gradient(float probability, float factor) {
  return probability > 0.0F ? -factor * (logf(probability) + 1.0F) : 0.0F;
}

/// Gradient of a selected expert's P by its gate: g_i = P_i / sum P gives
/// dP_i = (dg_i - sum_j dg_j g_j) / sum P, where `projection` is the sum over j.
__host__ __device__ __forceinline__ float gate_gradient(float dgate, float projection, float sum,
                                                        bool renormalize) {
  if (!renormalize) return dgate;
  return sum > 0.0F ? (dgate - projection) / sum : 0.0F;
}

}  // namespace hetmoe::gpu
