// For kernels: sums and maxima over a warp or a block, in an order that depends on nothing. Every
// thread of the warp or block must call them; those of a block again only after a barrier.
#pragma once

#include <kernel_language.h>

#include "core/kernels/gpu/packs.h"

namespace hetmoe::gpu {

constexpr unsigned kWholeWarp = 0xffffffffU;

__device__ __forceinline__ unsigned lane_of_warp() { return threadIdx.x % kWarp; }
/// A bit for each lane below this one.
__device__ __forceinline__ unsigned lanes_before(unsigned lane) { return (1U << lane) - 1; }

/// On every lane.
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(kWholeWarp, value, lanes);
  return value;
}

template <typename T>
__device__ __forceinline__ T warp_max(T value) {
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    const T other = __shfl_xor_sync(kWholeWarp, value, lanes);
    value = other > value ? other : value;
  }
  return value;
}

/// On every thread of a block of whole warps.
template <typename T>
__device__ __forceinline__ T block_sum(T value) {
  __shared__ T of_warp[32];
  value = warp_sum(value);
  if (lane_of_warp() == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  T sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / kWarp; ++warp) sum += of_warp[warp];
  return sum;
}

template <typename T>
__device__ __forceinline__ T block_max(T value) {
  __shared__ T of_warp[32];
  value = warp_max(value);
  if (lane_of_warp() == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  T largest = of_warp[0];
  for (unsigned warp = 1; warp < blockDim.x / kWarp; ++warp) {
    largest = of_warp[warp] > largest ? of_warp[warp] : largest;
  }
  return largest;
}

struct BlockScan {
  int before;  ///< sum of the values of threads before this one
  int total;   ///< of the block
};
__device__ __forceinline__ BlockScan block_scan(int value) {
  __shared__ int of_warp[32];
  const unsigned lane = lane_of_warp();
  int sum = value;
  for (unsigned lanes = 1; lanes < kWarp; lanes *= 2) {
    const int other = __shfl_up_sync(kWholeWarp, sum, lanes);
    if (lane >= lanes) sum += other;
  }
  if (lane == kWarp - 1) of_warp[threadIdx.x / kWarp] = sum;
  __syncthreads();
  BlockScan scan{sum - value, 0};
  for (unsigned warp = 0; warp < blockDim.x / kWarp; ++warp) {
    if (warp < threadIdx.x / kWarp) scan.before += of_warp[warp];
    scan.total += of_warp[warp];
  }
  return scan;
}

}  // namespace hetmoe::gpu
