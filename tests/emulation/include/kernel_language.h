// The language of kernels for a CPU that plays the device. CUDA's own is
// core/gpu/cuda/kernel_language.h; both offer the same names.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "core/gpu/bfloat16_bits.h"
#include "core/gpu/launch.h"
#include "cuda_runtime.h"
#include "tests/emulation/device_memory.h"
#include "tests/emulation/streams.h"
#include "tests/emulation/thread_block.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local
#define threadIdx (::hetmoe::emulation::thread_index)
#define blockIdx (::hetmoe::emulation::block_index)
#define blockDim (::hetmoe::emulation::block_size)
#define gridDim (::hetmoe::emulation::grid_size)

inline void __syncthreads() { hetmoe::emulation::wait_for_block(); }
inline void __syncwarp() { hetmoe::emulation::exchange_in_warp(0); }

template <typename T>
T __shfl_sync(unsigned /*mask*/, T value, int lane) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t) && std::is_trivially_copyable_v<T>);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = hetmoe::emulation::exchange_in_warp(bits)[static_cast<unsigned>(lane) % 32];
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return __shfl_sync(mask, value, static_cast<int>(threadIdx.x % 32) ^ lanes);
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned lanes) {
  const unsigned lane = threadIdx.x % 32;
  return __shfl_sync(mask, value, static_cast<int>(lane >= lanes ? lane - lanes : lane));
}

inline unsigned __ballot_sync(unsigned /*mask*/, int vote) {
  unsigned votes = 0;
  unsigned lane = 1;
  for (const std::uint64_t other : hetmoe::emulation::exchange_in_warp(vote != 0 ? 1 : 0)) {
    votes |= other != 0 ? lane : 0;
    lane <<= 1;
  }
  return votes;
}

inline unsigned __match_any_sync(unsigned /*mask*/, int value) {
  const auto mine = static_cast<std::uint64_t>(value);
  unsigned alike = 0;
  unsigned lane = 1;
  for (const std::uint64_t other : hetmoe::emulation::exchange_in_warp(mine)) {
    alike |= other == mine ? lane : 0;
    lane <<= 1;
  }
  return alike;
}

inline int __popc(unsigned bits) { return std::popcount(bits); }
/// One more than the lowest set bit; 0 if none is.
inline int __ffs(int bits) {
  return bits == 0 ? 0 : std::countr_zero(static_cast<unsigned>(bits)) + 1;
}

namespace hetmoe::gpu {

/// fp32 from bf16 bits and back, rounding to nearest even.
inline float widen(BFloat16Bits value) { return widened(value); }
inline BFloat16Bits narrow(float value) { return narrowed(value); }

namespace detail {

/// Pointers that a kernel gets must be the device's.
template <typename T>
bool is_kernel_argument(const T& argument) {
  if constexpr (std::is_pointer_v<T>) {
    return argument == nullptr || emulation::is_on_device(argument, 0);
  } else {
    return true;
  }
}

}  // namespace detail

/// Starts a kernel (core/gpu/launch.h); `name` is told in errors.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, const Grid& grid, Stream stream, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  std::tuple<Parameters...> values(static_cast<Parameters>(arguments)...);
  const bool on_device = std::apply(
      [](const auto&... value) { return (detail::is_kernel_argument(value) && ...); }, values);
  const bool is_grid = grid.blocks_x > 0 && grid.blocks_y > 0 && grid.blocks_x <= 2147483647U &&
                       grid.blocks_y <= 65535U && grid.threads > 0 && grid.threads <= 1024;
  int error = emulation::take_failure("launch");
  if (error == 0 && !is_grid) error = cudaErrorInvalidConfiguration;
  if (error == 0 && !on_device) error = cudaErrorIllegalAddress;
  check_launch(name, error, error == 0 ? "" : cudaGetErrorString(static_cast<cudaError_t>(error)));
  ++emulation::observed().launches;
  emulation::enqueue(stream == nullptr ? emulation::default_stream() : stream, name,
                     [name, grid, kernel, values = std::move(values)] {
                       emulation::run_grid(name, {grid.blocks_x, grid.blocks_y, 1}, grid.threads,
                                           [&] { std::apply(kernel, values); });
                       return true;
                     });
}

}  // namespace hetmoe::gpu
