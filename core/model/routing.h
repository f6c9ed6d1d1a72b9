#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace hetmoe {

/// What the router decided for T tokens. Selections of token t are [offset[t], offset[t + 1]), in
/// ascending order of expert.
struct Routing {
  at::Tensor probabilities;          ///< [T, E], fp32 (fp64): softmax over all experts
  std::vector<std::int64_t> offset;  ///< [T + 1]
  std::vector<std::int32_t> expert;  ///< [S], the selected experts
  std::vector<double> gate;          ///< [S]
  std::int64_t non_finite_tokens = 0;

  std::int64_t tokens() const { return static_cast<std::int64_t>(offset.size()) - 1; }
  std::int64_t selections() const { return static_cast<std::int64_t>(expert.size()); }
};

}  // namespace hetmoe
