#pragma once

#include <cstdint>

#include "core/gpu/launch.h"

namespace hetmoe::gpu {

/// Integers of `scratch` below.
std::int64_t exclusive_sum_scratch(std::int64_t count);

/// sums[i] = values[0] + ... + values[i - 1], for i from 0 to count inclusive: [count + 1]. Sums
/// must fit 32 bits. `sums` may begin where `values` does. All pointers are the device's. Cost:
/// values are read twice, or once where one block does it all.
void exclusive_sum(const std::int32_t* values, std::int64_t count, std::int32_t* sums,
                   std::int32_t* scratch, Stream stream);

}  // namespace hetmoe::gpu
