#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace hetmoe {

/// Counter-based random numbers: a pure function of (seed, name, row, column), so that a value
/// does not depend on which rank draws it, nor on what was drawn before (XXH3 of the counters).
class CounterRandom {
 public:
  CounterRandom(std::uint64_t seed, std::string_view name);

  /// 64 uniform bits for one (row, column).
  std::uint64_t bits(std::uint64_t row, std::uint64_t column) const;

  /// Uniform in [0, 1).
  double uniform(std::uint64_t row, std::uint64_t column) const;

  /// Fills one row with normals of mean 0. Box-Muller: columns 2j and 2j + 1 come from one draw.
  void fill_normal(std::uint64_t row, double standard_deviation, std::span<float> out) const;

  /// Fills one row with uniform values in [-bound, bound), as near as fp32 comes.
  void fill_uniform(std::uint64_t row, double bound, std::span<float> out) const;

 private:
  std::uint64_t key_;
};

}  // namespace hetmoe
