// Beside a GPU; tests/emulation/include has the same names for a CPU that plays it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>

#include "tests/support/same_bits.h"

namespace hetmoe::test {

/// Only the emulated device counts.
constexpr bool kIsObserved = false;
inline std::uint64_t host_waits_so_far() { return 0; }
inline std::uint64_t launches_so_far() { return 0; }
/// A GPU's memory holds what it held.
inline void mark_new_memory(unsigned char) {}

/// Runs `compute` several times: a GPU takes its own turns, and a vector that differs is a race.
template <typename Compute>
auto same_in_any_turns(Compute compute) {
  const auto first = compute();
  for (int again = 0; again < 3; ++again) {
    EXPECT_TRUE(same_bits(first, compute())) << "the result depends on who comes first";
  }
  return first;
}

}  // namespace hetmoe::test
