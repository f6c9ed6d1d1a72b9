#pragma once

#include <cstddef>

namespace hetmoe::emulation {

/// The memory of the one emulated device: a range of addresses of its own that only work on a
/// stream may touch. A host that reads or writes it gets a segmentation fault, as it would from a
/// real device's memory.
/// Threads: any.

constexpr std::size_t kDeviceBytes = std::size_t{4} << 30;

/// What it has: all that, or HETMOE_EMULATED_MEMORY bytes where that is in the environment.
std::size_t device_bytes();
/// The most that was ever allocated at a time.
std::size_t peak_device_bytes();
/// Of the latest allocation that was refused.
std::size_t refused_device_bytes();

/// Null when nothing of this size is left, or where it is more than HETMOE_EMULATED_LARGEST bytes:
/// memory in pieces, which nobody could have foreseen. The first MiB is 0xff bytes, NaN as fp32,
/// fp64 and bf16; again when it is freed.
void* allocate_on_device(std::size_t size);
/// Other bytes than 0xff from now on: where -1, which is 0xff too, would hide what was not written.
void mark_new_memory(unsigned char byte);
/// False if nothing was allocated there.
bool free_on_device(void* pointer);

/// Whether all of it lies in one allocation.
bool is_on_device(const void* pointer, std::size_t size = 1);
std::size_t free_device_bytes();

/// While one exists its thread is the device: memory is open to it. Nests; other threads' wait.
class DeviceWork {
 public:
  DeviceWork();
  ~DeviceWork();
  DeviceWork(const DeviceWork&) = delete;
  DeviceWork& operator=(const DeviceWork&) = delete;
};

}  // namespace hetmoe::emulation
