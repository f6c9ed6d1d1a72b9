#include "runtime/trainer/global_batch.h"

#include <algorithm>
#include <numeric>

namespace hetmoe {

PlaceRange places_of_rank(PlaceRange all, int rank, int num_ranks) {
  const std::int64_t each = all.count / num_ranks;
  const std::int64_t rest = all.count % num_ranks;
  return {all.first + rank * each + std::min<std::int64_t>(rank, rest),
          each + (rank < rest ? 1 : 0)};
}

std::vector<std::int64_t> places(PlaceRange range) {
  std::vector<std::int64_t> list(static_cast<std::size_t>(range.count));
  std::iota(list.begin(), list.end(), range.first);
  return list;
}

}  // namespace hetmoe
