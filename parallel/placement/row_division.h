#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "parallel/placement/rank_filling.h"

namespace hetmoe {

/// Rows of some experts and the ranks among which they are to be divided.
struct DivisionProblem {
  std::vector<ExpertRows> stock;
  std::vector<std::int64_t> room;       ///< [ranks] most rows of each rank
  std::vector<std::int64_t> most_work;  ///< [ranks] most tokens times rows
  std::int64_t granularity = 1;
};

struct Division {
  std::vector<std::vector<std::int64_t>> rows;  ///< [ranks][stock]
  std::int64_t cut_tokens = 0;                  ///< tokens of every part beyond an expert's first
};

/// How far to look.
struct DivisionEffort {
  std::size_t branches = 1;     ///< fillings tried per rank
  int fillings = 64;            ///< searches for fillings in all
  std::size_t candidates = 10;  ///< experts looked at for one rank
  /// Least part of its fair share of rows and work that every rank takes: with many ranks a search
  /// that may leave the cold experts to the last ones finds no room for them there.
  double evenness = 0;
};

/// Divides everything within the limits at few cuts, rank after rank, depth first, better divisions
/// bounding worse ones. Where all ranks may do the same work, the heaviest expert that is left goes
/// to the rank at hand. Nothing if no division was found that costs less than `most_cut_tokens`.
/// Pure and deterministic: the effort is counted, not timed.
std::optional<Division> divide_rows(const DivisionProblem& problem, const DivisionEffort& effort,
                                    std::int64_t most_cut_tokens);

}  // namespace hetmoe
