#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hetmoe {

/// What a training step computes again in its backward pass instead of keeping it. The same kernels
/// see the same values, so results are the same to the bit; what ranks have exchanged and what the
/// router has decided is kept.
enum class Recompute : std::uint8_t {
  kNone,
  kExperts,  ///< the experts' products with gate and up
  kBlock,    ///< of every block all but its input, and the experts' products as well
};

inline std::vector<std::string> enum_words(Recompute) { return {"none", "experts", "block"}; }

}  // namespace hetmoe
