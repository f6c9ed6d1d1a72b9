#include "core/base/random.h"

#include <xxhash.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>

namespace hetmoe {

CounterRandom::CounterRandom(std::uint64_t seed, std::string_view name)
    : key_(XXH3_64bits_withSeed(name.data(), name.size(), seed)) {}

std::uint64_t CounterRandom::bits(std::uint64_t row, std::uint64_t column) const {
  const std::array<std::uint64_t, 2> counter = {row, column};
  return XXH3_64bits_withSeed(counter.data(), sizeof(counter), key_);
}

double CounterRandom::uniform(std::uint64_t row, std::uint64_t column) const {
  return static_cast<double>(bits(row, column) >> 11) * 0x1.0p-53;
}

void CounterRandom::fill_normal(std::uint64_t row, double standard_deviation,
                                std::span<float> out) const {
  for (std::size_t column = 0; column < out.size(); column += 2) {
    const std::uint64_t draw = bits(row, column / 2);
    // (0, 1]: the logarithm must be finite.
    const double u = (static_cast<double>(draw >> 32) + 1.0) * 0x1.0p-32;
    const double v = static_cast<double>(draw & 0xffffffffU) * 0x1.0p-32;
    const double radius = standard_deviation * std::sqrt(-2.0 * std::log(u));
    const double angle = 2.0 * std::numbers::pi * v;
    out[column] = static_cast<float>(radius * std::cos(angle));
    if (column + 1 < out.size()) out[column + 1] = static_cast<float>(radius * std::sin(angle));
  }
}

void CounterRandom::fill_uniform(std::uint64_t row, double bound, std::span<float> out) const {
  for (std::size_t column = 0; column < out.size(); ++column) {
    out[column] = static_cast<float>((2.0 * uniform(row, column) - 1.0) * bound);
  }
}

}  // namespace hetmoe
