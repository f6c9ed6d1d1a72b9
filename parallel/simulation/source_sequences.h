#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hetmoe {

/// Deals the sequences of one global microbatch out to ranks in proportion to `weights` [ranks],
/// none negative, one at least positive: by largest remainder, of equal ones the lower rank first
/// (8 sequences on 3 equal ranks: 3, 3, 2). The counts sum to `sequences`. Pure.
std::vector<std::int64_t> deal_sequences(std::int64_t sequences, std::span<const double> weights);

}  // namespace hetmoe
