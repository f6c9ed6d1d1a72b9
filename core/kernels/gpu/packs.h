// For kernels: elements in packs of 16 bytes, and how many threads share a row of them.
#pragma once

#include <kernel_language.h>

#include <algorithm>
#include <cstdint>

#include "core/gpu/launch.h"

namespace hetmoe::gpu {

/// N elements that are read and written at once.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T value[N];
};

template <int N, typename T>
__device__ __forceinline__ Pack<T, N> read_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <typename T, int N>
__device__ __forceinline__ void write_pack(T* to, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

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

constexpr unsigned kWarp = 32;

/// The most threads that share one row.
constexpr unsigned kRowThreads = 256;

/// Threads for a row that each takes `pack` elements of at once: whole warps, none without work.
inline unsigned threads_of_row(std::int64_t columns, int pack) {
  const std::int64_t warps = (columns / pack + kWarp - 1) / kWarp;
  return static_cast<unsigned>(std::clamp<std::int64_t>(warps, 1, kRowThreads / kWarp)) * kWarp;
}

/// One block per row.
inline Grid grid_of_rows(std::int64_t rows, std::int64_t columns, int pack) {
  return {.blocks_x = static_cast<unsigned>(rows), .threads = threads_of_row(columns, pack)};
}

}  // namespace hetmoe::gpu
