#pragma once

#include <gtest/gtest.h>

#include <cstdint>

#include "tests/emulation/device_memory.h"
#include "tests/emulation/streams.h"
#include "tests/emulation/thread_block.h"
#include "tests/support/same_bits.h"

namespace hetmoe::test {

constexpr bool kIsObserved = true;
inline std::uint64_t host_waits_so_far() { return emulation::observed().host_waits; }
inline std::uint64_t launches_so_far() { return emulation::observed().launches; }
/// What memory holds that nobody has written, from now on.
inline void mark_new_memory(unsigned char byte) { emulation::mark_new_memory(byte); }

/// Runs `compute` with threads and blocks in both orders: a vector that differs is a race.
template <typename Compute>
auto same_in_any_turns(Compute compute) {
  emulation::take_turns(emulation::Turns::kDescending);
  const auto descending = compute();
  emulation::take_turns(emulation::Turns::kAscending);
  const auto ascending = compute();
  EXPECT_TRUE(same_bits(ascending, descending)) << "the result depends on who comes first";
  return ascending;
}

}  // namespace hetmoe::test
