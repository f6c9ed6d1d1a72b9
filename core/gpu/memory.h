#pragma once

#include <cstddef>

#include "core/gpu/launch.h"

namespace hetmoe::gpu {

/// Where DeviceMemory comes from. `allocate` throws DeviceMemoryError.
struct DevicePool {
  void* (*allocate)(std::size_t size_bytes) = nullptr;
  void (*release)(void* pointer) = nullptr;
};

/// Of the whole process, before the first DeviceMemory; until then each is a cudaMalloc of its own.
/// What a pool gets back it may give away at once, to what the thread's compute stream is given
/// from then on: whoever used it on another stream has made the compute stream wait for that.
void take_device_memory_from(const DevicePool& pool);

/// Memory of the device. Move-only. Freeing may wait for the whole device: keep it.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  /// Errors: DeviceMemoryError.
  explicit DeviceMemory(std::size_t size_bytes);
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  void* get() const { return pointer_; }
  std::size_t size_bytes() const { return size_bytes_; }

 private:
  void* pointer_ = nullptr;
  std::size_t size_bytes_ = 0;
};

/// Memory of the host that the device copies from and to while both go on. Move-only.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  explicit PinnedMemory(std::size_t size_bytes);
  PinnedMemory(PinnedMemory&& other) noexcept;
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;
  ~PinnedMemory();

  void* get() const { return pointer_; }
  std::size_t size_bytes() const { return size_bytes_; }

 private:
  void* pointer_ = nullptr;
  std::size_t size_bytes_ = 0;
};

/// Copies on a stream; the host does not wait. Its side must be pinned, or the copy may block.
void copy_to_device(void* to, const void* from, std::size_t size_bytes, Stream stream);
void copy_to_host(void* to, const void* from, std::size_t size_bytes, Stream stream);
void copy_on_device(void* to, const void* from, std::size_t size_bytes, Stream stream);
void fill_with_zeros(void* to, std::size_t size_bytes, Stream stream);

}  // namespace hetmoe::gpu
