#include "core/base/random.h"

// Inlined: a hash of 16 bytes takes less time than its call.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "core/base/normal_draws.h"

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
  constexpr std::size_t kValues = 1024;  // whose draws lie on the stack
  std::array<std::uint64_t, kValues / 2> draws;
  for (std::size_t begin = 0; begin < out.size(); begin += kValues) {
    const std::span<float> values = out.subspan(begin, std::min(kValues, out.size() - begin));
    const std::size_t count = (values.size() + 1) / 2;
    for (std::size_t j = 0; j < count; ++j) draws[j] = bits(row, begin / 2 + j);
    normals_from_draws(std::span(draws).first(count), standard_deviation, values);
  }
}

void CounterRandom::fill_uniform(std::uint64_t row, double bound, std::span<float> out) const {
  for (std::size_t column = 0; column < out.size(); ++column) {
    out[column] = static_cast<float>((2.0 * uniform(row, column) - 1.0) * bound);
  }
}

}  // namespace hetmoe
