#pragma once

#include <cstdint>
#include <vector>

namespace hetmoe {

/// Places [first, first + count) of a global batch dealt out to ranks as evenly as they go, lower
/// ranks first (8 places, 3 ranks: 3, 3, 2); some ranks may get none. Pure.
struct PlaceRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
};
PlaceRange places_of_rank(PlaceRange all, int rank, int num_ranks);

/// first, first + 1, ...: the places of a range one by one.
std::vector<std::int64_t> places(PlaceRange range);

}  // namespace hetmoe
