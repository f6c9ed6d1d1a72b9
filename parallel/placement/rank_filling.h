#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hetmoe {

/// Rows of one expert that are still to be placed.
struct ExpertRows {
  int expert = 0;
  std::int64_t tokens = 0;  ///< load of the expert: FLOPs of one row, and the traffic of one cut
  std::int64_t rows = 0;
};

/// What one rank may take: work (tokens times rows) and rows, both from and to.
struct FillingLimits {
  std::int64_t least_work = 0;
  std::int64_t most_work = 0;
  std::int64_t least_rows = 0;
  std::int64_t most_rows = 0;
  int required = -1;  ///< entry of the stock that must be there, whole or in part; -1: none
};

/// What one rank takes of each expert.
struct Filling {
  std::vector<std::int64_t> rows;  ///< of each entry of the stock
  std::int64_t work = 0;
  std::int64_t cut_tokens = 0;  ///< tokens of the experts that it takes a part of
};

/// The `most` cheapest fillings within the limits, cheapest first (then the one with more work):
/// every subset of the stock as whole experts, completed by no, one or two parts. Parts are
/// multiples of the granularity. Of a larger stock only the `candidates` experts that matter most
/// for one rank are looked at: the heaviest, those that complete it, and the coldest, which are
/// cheap to cut. Cost: up to 2^candidates subsets. Pure.
std::vector<Filling> cheapest_fillings(std::span<const ExpertRows> stock,
                                       const FillingLimits& limits, std::int64_t granularity,
                                       std::size_t most, std::size_t candidates = 10);

}  // namespace hetmoe
