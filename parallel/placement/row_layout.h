#pragma once

#include <cstdint>
#include <vector>

#include "parallel/placement/placement.h"

namespace hetmoe {

/// Slices from how many rows of each expert each rank holds (`rows` [ranks][experts]): the pieces
/// of an expert follow one another in the order of their ranks, but one that is no multiple of the
/// granularity comes last, so that every cut lies at a multiple. Pure.
LayerPlacement lay_out_rows(const std::vector<std::vector<std::int64_t>>& rows,
                            std::int64_t granularity);

}  // namespace hetmoe
