#include "core/gpu/cuda_call.h"

#include <string>

#include "core/gpu/device_error.h"
#include "core/gpu/launch.h"

namespace hetmoe::gpu {

void check_cuda(const char* call, cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // else the next launch would be blamed for this call
  const std::string text = std::string(call) + ": " + cudaGetErrorString(error);
  if (error == cudaErrorMemoryAllocation) throw DeviceMemoryError(text);
  throw DeviceError(text);
}

void check_launch(const char* name, int error, const char* text) {
  if (error != 0) throw DeviceError("kernel " + std::string(name) + ": " + text);
}

}  // namespace hetmoe::gpu
