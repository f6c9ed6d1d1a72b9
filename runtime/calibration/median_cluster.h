#pragma once

#include <vector>

#include "parallel/placement/cluster.h"

namespace hetmoe {

/// Each measured number is the median of that number in all rounds; the rest is the first round's.
/// All tables have the same sizes; at least one round.
Cluster median_of(std::vector<Cluster> rounds);

}  // namespace hetmoe
