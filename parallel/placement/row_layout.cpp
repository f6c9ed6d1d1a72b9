#include "parallel/placement/row_layout.h"

#include <algorithm>

namespace hetmoe {

LayerPlacement lay_out_rows(const std::vector<std::vector<std::int64_t>>& rows,
                            std::int64_t granularity) {
  LayerPlacement placement;
  const int ranks = static_cast<int>(rows.size());
  const std::size_t experts = rows.empty() ? 0 : rows.front().size();
  for (std::size_t e = 0; e < experts; ++e) {
    std::vector<int> holders;
    for (int rank = 0; rank < ranks; ++rank) {
      if (rows[rank][e] > 0) holders.push_back(rank);
    }
    std::stable_partition(holders.begin(), holders.end(),
                          [&](int rank) { return rows[rank][e] % granularity == 0; });
    std::int64_t begin = 0;
    for (int rank : holders) {
      placement.slices.push_back({.expert = static_cast<int>(e),
                                  .rank = rank,
                                  .begin = begin,
                                  .end = begin + rows[rank][e]});
      begin += rows[rank][e];
    }
  }
  return placement;
}

}  // namespace hetmoe
