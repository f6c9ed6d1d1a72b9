#pragma once

#include <cstdint>
#include <span>

#include "parallel/communicator/span.h"

namespace hetmoe {

/// The invariants of communicator.h that one rank can see alone, the same for every implementation.
/// All throw InternalError with the operation's name and both values.

/// Reductions exist for fp32, fp64 and int64, on aligned memory.
void check_reduction(const char* operation, ConstBuffer values);

/// One count per rank, none negative, adding up to `total`.
void check_parts(const char* operation, std::span<const std::int64_t> counts, int size,
                 std::int64_t total);

/// Same type, and no byte in both.
void check_two_buffers(const char* operation, ConstBuffer send, ConstBuffer receive);

/// A count that is not negative, and memory where there are elements.
void check_buffer(const char* operation, ConstBuffer values);

void check_root(const char* operation, int root, int size);

}  // namespace hetmoe
