#pragma once

#include <cuda_runtime.h>

namespace hetmoe::gpu {

/// Errors: DeviceMemoryError where memory is short, DeviceError otherwise, "CALL: TEXT".
void check_cuda(const char* call, cudaError_t error);

}  // namespace hetmoe::gpu
