#pragma once

#include <array>
#include <cstddef>

#include "core/kernels/gpu/product_table.h"

namespace hetmoe::bench {

/// The first is what the others must agree with, and what is taken where none is right and faster.
constexpr std::array kWays = {gpu::ProductWay::kStreams, gpu::ProductWay::kBatched,
                              gpu::ProductWay::kCutlass};

/// A result's rounding, several times over, relative to the largest value; what is wrong is far
/// beyond it.
inline double allowed_difference(const gpu::ProductKind& kind) {
  return kind.out == gpu::Number::kFloat32 ? 1e-4 : 2e-2;
}

/// How the ways did on the calls of one class, over all that were measured. A way that left one of
/// them to others, and so has no time of its own, is none of the fastest.
class WayTimes {
 public:
  void add(std::size_t way, double seconds, bool is_right) {
    ++calls_.at(way);
    seconds_.at(way) += seconds;
    is_right_.at(way) = is_right_.at(way) && is_right;
  }

  gpu::ProductWay fastest() const {
    std::size_t best = 0;
    for (std::size_t i = 1; i < kWays.size(); ++i) {
      if (calls_[i] == calls_[0] && is_right_[i] && seconds_[i] < seconds_[best]) best = i;
    }
    return kWays[best];
  }

 private:
  std::array<int, kWays.size()> calls_{};
  std::array<double, kWays.size()> seconds_{};
  std::array<bool, kWays.size()> is_right_ = {true, true, true};
};

}  // namespace hetmoe::bench
