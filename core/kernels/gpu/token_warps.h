// For kernels: one warp per token, several per block.
#pragma once

#include <kernel_language.h>

#include <cstdint>

#include "core/gpu/launch.h"
#include "core/kernels/gpu/packs.h"

namespace hetmoe::gpu {

constexpr unsigned kTokensPerBlock = 4;

inline Grid grid_of_tokens(std::int64_t tokens) {
  return {.blocks_x = static_cast<unsigned>((tokens + kTokensPerBlock - 1) / kTokensPerBlock),
          .threads = kTokensPerBlock * kWarp};
}

/// Of this warp; the last block's warps may have none.
__device__ __forceinline__ std::int64_t token_of_warp() {
  return static_cast<std::int64_t>(blockIdx.x) * kTokensPerBlock + threadIdx.x / kWarp;
}

}  // namespace hetmoe::gpu
