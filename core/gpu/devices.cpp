#include "core/gpu/devices.h"

#include <algorithm>
#include <cstdlib>

#include "core/gpu/cuda_call.h"
#include "core/gpu/device_error.h"

namespace hetmoe::gpu {
namespace {

Device device_at(int index) {
  cudaDeviceProp properties;
  check_cuda("cudaGetDeviceProperties", cudaGetDeviceProperties(&properties, index));
  Device device{.name = properties.name,
                .memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem),
                .multiprocessors = properties.multiProcessorCount,
                .major = properties.major,
                .minor = properties.minor};
  std::copy_n(reinterpret_cast<const std::uint8_t*>(properties.uuid.bytes), device.uuid.size(),
              device.uuid.begin());
  return device;
}

// What the kernels are compiled for begins there (deploy/cmake/Cuda.cmake).
constexpr int kLeastMajor = 8;

std::string too_old(const Device& device) {
  return device.name + " has compute capability " + std::to_string(device.major) + "." +
         std::to_string(device.minor) + ", needed is " + std::to_string(kLeastMajor) +
         ".0 or newer";
}

}  // namespace

Devices visible_devices() {
  // Read when CUDA starts. Streams that share one of its 8 connections wait for one another.
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", /*overwrite=*/0);
  Devices devices;
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();
    devices.why_none = cudaGetErrorString(error);
    return devices;
  }
  try {
    for (int i = 0; i < count; ++i) devices.visible.push_back(device_at(i));
    for (const Device& device : devices.visible) {
      if (device.major < kLeastMajor) return {.visible = {}, .why_none = too_old(device)};
    }
  } catch (const Error& fault) {
    return {.visible = {}, .why_none = fault.what()};
  }
  if (count == 0) devices.why_none = "no device is visible";
  return devices;
}

void use_device(int index) { check_cuda("cudaSetDevice", cudaSetDevice(index)); }

int device_in_use() {
  int index = 0;
  check_cuda("cudaGetDevice", cudaGetDevice(&index));
  return index;
}

DeviceRoom room_of_device() {
  std::size_t free_bytes = 0, total_bytes = 0;
  check_cuda("cudaMemGetInfo", cudaMemGetInfo(&free_bytes, &total_bytes));
  return {.total_bytes = static_cast<std::int64_t>(total_bytes),
          .free_bytes = static_cast<std::int64_t>(free_bytes)};
}

}  // namespace hetmoe::gpu
