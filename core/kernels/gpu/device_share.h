#pragma once

#include <string>

#include "core/gpu/devices.h"

namespace hetmoe::gpu {

/// The calling thread's device; without one a broken invariant.
Device device_here();

/// "9.0": of the calling thread's device.
std::string compute_capability();

/// The multiprocessors of the calling thread's device that are left where `reserve` of them are for
/// others, such as NCCL's kernels: at least half. `reserve` is even, so that pairs of blocks fit.
int multiprocessors_left(int reserve);

}  // namespace hetmoe::gpu
