#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace hetmoe {

/// Routing (routing.h) on a GPU: the host does not know how many experts a token selected, only how
/// many it may. Selections of token t are [offset[t], offset[t + 1]), ascending by expert.
struct GpuRouting {
  at::Tensor probabilities;  ///< [T, E] fp32
  at::Tensor mask;           ///< [T, words of 32 experts] int32: a bit for every selected expert
  at::Tensor non_finite;     ///< [T] int32
  at::Tensor offset;         ///< [T + 1] int32
  at::Tensor expert;         ///< [room] int32
  at::Tensor gate;           ///< [room] fp32
  std::int64_t most_per_token = 0;  ///< room = T * most_per_token

  std::int64_t tokens() const { return probabilities.size(0); }
};

}  // namespace hetmoe
