#pragma once

#include <cstdint>
#include <span>

#include "tests/support/placed_values.h"

namespace hetmoe::test {

/// One promise of communicator.h. `check` is called by all ranks of the group, on one thread each,
/// and states failures with GoogleTest assertions; expected values are computed from (seed, rank)
/// by plain loops in the test. `largest_count`: elements of the longest buffer to try.
struct ConformanceCase {
  const char* name;
  void (*check)(const PlacedGroup& at, std::int64_t largest_count);
};

/// Every implementation passes all of them, in any order, on any number of ranks.
std::span<const ConformanceCase> communicator_conformance_cases();

}  // namespace hetmoe::test
