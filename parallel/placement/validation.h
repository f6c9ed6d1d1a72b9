#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "parallel/placement/placement.h"

namespace hetmoe {

/// Checks that a placement (read from a file, or planned) puts every row of every expert somewhere
/// exactly once: slices sorted by (expert, begin, rank), ranges of one expert identical (replicas
/// on different ranks, shares adding up to 1) or disjoint and gapless, ranks within [0, ranks).
/// `widths[l][e]`: hidden units of expert e in layer l.
/// Errors: ConfigError that names layer, expert, row and what is wrong.
void validate_placement(const Placement& placement,
                        std::span<const std::vector<std::int64_t>> widths, int ranks);

}  // namespace hetmoe
