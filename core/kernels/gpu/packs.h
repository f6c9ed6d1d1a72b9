// For kernels: elements in packs of 16 bytes, and sums over a warp or a block.
#pragma once

#include <kernel_language.h>

#include <cstdint>

namespace hetmoe::gpu {

/// N elements that are read and written at once.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T value[N];
};

/// Elements of 16 bytes.
template <typename T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));

/// Whether rows of so many elements can be read in packs of 16 bytes from all these addresses.
template <typename T, typename... Pointers>
bool fits_packs(std::int64_t columns, const Pointers*... pointers) {
  return columns % kPack<T> == 0 && ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

__host__ __device__ __forceinline__ float widen(float value) { return value; }

template <typename T>
__device__ __forceinline__ T narrow_to(float value);
template <>
__device__ __forceinline__ float narrow_to<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ BFloat16Bits narrow_to<BFloat16Bits>(float value) {
  return narrow(value);
}

constexpr unsigned kWholeWarp = 0xffffffffU;
constexpr unsigned kWarp = 32;

/// The sum over a warp, on every lane, in an order that depends on nothing.
__device__ __forceinline__ float warp_sum(float value) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(kWholeWarp, value, lanes);
  return value;
}

/// The sum over a block of whole warps, on every thread. Every thread of the block must call it;
/// again only after a barrier.
__device__ __forceinline__ float block_sum(float value) {
  __shared__ float of_warp[32];
  value = warp_sum(value);
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  float sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / kWarp; ++warp) sum += of_warp[warp];
  return sum;
}

}  // namespace hetmoe::gpu
