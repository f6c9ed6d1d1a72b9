#include "core/tensor/device.h"

#include "core/gpu/devices.h"
#include "core/gpu/stream.h"
#include "core/tensor/gpu_memory.h"
#include "tests/emulation/device_memory.h"

namespace hetmoe {

at::Device gpu_device() { return {at::kPrivateUse1, 0}; }
void use_gpu(int index) { gpu::use_device(index); }
void wait_for_gpu() { gpu::wait_for(compute_stream()); }
gpu::Stream compute_stream() { return nullptr; }

GpuMemory gpu_memory() {
  const gpu::DeviceRoom room = gpu::room_of_device();
  return {.total_bytes = room.total_bytes,
          .free_bytes = room.free_bytes,
          .peak_bytes = static_cast<std::int64_t>(emulation::peak_device_bytes()),
          .refused_bytes = static_cast<std::int64_t>(emulation::refused_device_bytes())};
}

}  // namespace hetmoe
