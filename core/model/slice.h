#pragma once

#include <compare>
#include <cstdint>

namespace hetmoe {

/// Rows [begin, end) of the three [width, hidden_size] matrices (gate, up, down) of one expert:
/// the unit of placement, computation, communication and ownership. A SwiGLU expert is a sum over
/// hidden units, so it can be cut anywhere along its width, exactly.
struct Slice {
  int layer = 0;
  int expert = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;

  std::int64_t width() const { return end - begin; }
  friend auto operator<=>(const Slice&, const Slice&) = default;
};

}  // namespace hetmoe
