// The language of kernels for CUDA's own compiler. tests/emulation/include has the same names for
// a CPU that plays the device; CMake chooses by the include path.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <utility>

#include "core/gpu/bfloat16_bits.h"
#include "core/gpu/launch.h"

namespace hetmoe::gpu {

/// fp32 from bf16 bits and back, rounding to nearest even.
__device__ __forceinline__ float widen(BFloat16Bits value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}
__device__ __forceinline__ BFloat16Bits narrow(float value) {
  return {__bfloat16_as_ushort(__float2bfloat16_rn(value))};
}

/// Starts a kernel (core/gpu/launch.h); `name` is told in errors.
template <typename... Parameters, typename... Arguments>
void launch(const char* name, const Grid& grid, Stream stream, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  kernel<<<dim3(grid.blocks_x, grid.blocks_y), grid.threads, 0, stream>>>(
      static_cast<Parameters>(arguments)...);
  const cudaError_t error = cudaGetLastError();
  check_launch(name, error, cudaGetErrorString(error));
}

}  // namespace hetmoe::gpu
