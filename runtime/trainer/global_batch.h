#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/run_config.h"

namespace hetmoe {

/// Places [first, first + count) of a global batch dealt out to ranks as evenly as they go, lower
/// ranks first (8 places, 3 ranks: 3, 3, 2); some ranks may get none. Pure.
struct PlaceRange {
  std::int64_t first = 0;
  std::int64_t count = 0;
};
PlaceRange places_of_rank(PlaceRange all, int rank, int num_ranks);

/// How many of `count` places each rank gets in proportion to weights >= 0, one of them above 0, by
/// largest remainder, lower ranks first; a rank of weight 0 gets none.
std::vector<std::int64_t> counts_of_ranks(std::int64_t count,
                                          std::span<const std::int64_t> weights);

/// Those of one rank, after the lower ranks' ones.
PlaceRange places_of_rank(PlaceRange all, int rank, std::span<const std::int64_t> weights);

/// How many sequences of a training step each rank reads, relative to the others:
/// train.source_weights, else those of the forced workload, which are even but for W4 and W5.
/// Errors: AgreedError (configuration) when the number given is not that of the ranks; the same on
/// every rank, so all must ask.
std::vector<std::int64_t> source_weights(const RunConfig& config, int num_ranks);

/// first, first + 1, ...: the places of a range one by one.
std::vector<std::int64_t> places(PlaceRange range);

}  // namespace hetmoe
