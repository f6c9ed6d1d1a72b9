#pragma once

#include <cstdint>
#include <span>

#include "parallel/communicator/communicator.h"

namespace hetmoe {

/// destination[i] = ((sources[0][i] o sources[1][i]) o sources[2][i]) o ..., the order in which
/// every implementation reduces, so that all of them give the same bits.
/// Shape: each source and the destination hold `count` elements of `type` (fp32, fp64, int64).
/// The destination may be one of the sources; any other overlap is not allowed.
/// Integer sums wrap around; in kMin and kMax a NaN wins.
void reduce_in_rank_order(DataType type, Reduction reduction, std::span<const void* const> sources,
                          void* destination, std::int64_t count);

}  // namespace hetmoe
