#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "tests/support/same_bits.h"

namespace hetmoe::test {

/// bf16 as it travels: two bytes that nobody computes with.
struct BFloat16Bits {
  std::uint16_t bits = 0;
  friend bool operator==(BFloat16Bits, BFloat16Bits) = default;
};

template <typename T>
constexpr DataType type_of_values() {
  if constexpr (std::is_same_v<T, BFloat16Bits>)
    return DataType::kBFloat16;
  else
    return data_type_of<T>();
}

template <typename T>
Buffer buffer_of_values(std::vector<T>& values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), type_of_values<T>()};
}

template <typename T>
ConstBuffer const_buffer_of_values(const std::vector<T>& values) {
  return {values.data(), static_cast<std::int64_t>(values.size()), type_of_values<T>()};
}

/// What `rank` contributes to case `seed`: every rank can compute every other rank's values.
/// Floating values span 2^+-40 with both signs, so that the order of a sum shows in its bits.
template <typename T>
std::vector<T> values_of(int seed, int rank, std::int64_t count) {
  std::mt19937_64 random(static_cast<std::uint64_t>(seed) * 1000003U +
                         static_cast<std::uint64_t>(rank));
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) {
    const std::uint64_t bits = random();
    if constexpr (std::is_floating_point_v<T>) {
      const double mantissa = static_cast<double>(bits >> 11) / 9007199254740992.0 - 0.5;
      value = static_cast<T>(std::ldexp(mantissa, static_cast<int>(bits % 81) - 40));
    } else if constexpr (std::is_same_v<T, BFloat16Bits>) {
      value.bits = static_cast<std::uint16_t>(bits >> 7);
    } else {
      value = static_cast<T>(bits >> 9);
    }
  }
  return values;
}

/// Lengths around what implementations treat differently: none, one, odd, a block, several blocks.
inline std::vector<std::int64_t> lengths_up_to(std::int64_t largest) {
  std::vector<std::int64_t> lengths;
  for (const std::int64_t length : {0, 1, 2, 3, 7, 64, 1023, 1025, 5003, 70001, 200003})
    if (length <= largest) lengths.push_back(length);
  return lengths;
}

/// Uneven parts, some empty, equal on all ranks: part r of `size` for a total near `total`.
inline std::vector<std::int64_t> uneven_parts(int seed, int size, std::int64_t total) {
  std::vector<std::int64_t> parts(static_cast<std::size_t>(size));
  for (int r = 0; r < size; ++r)
    parts[static_cast<std::size_t>(r)] =
        (r + seed) % 3 == 2 ? 0 : total * (1 + (r + seed) % 2) / size / 2;
  parts[static_cast<std::size_t>(seed % size)] += total % 5;
  return parts;
}

inline std::int64_t total_of(const std::vector<std::int64_t>& parts) {
  std::int64_t total = 0;
  for (const std::int64_t part : parts) total += part;
  return total;
}

}  // namespace hetmoe::test
