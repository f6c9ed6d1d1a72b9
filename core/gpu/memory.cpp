#include "core/gpu/memory.h"

#include <string>
#include <utility>

#include "core/gpu/cuda_call.h"
#include "core/gpu/device_error.h"

namespace hetmoe::gpu {
namespace {

void copy(void* to, const void* from, std::size_t size_bytes, cudaMemcpyKind kind, Stream stream) {
  if (size_bytes == 0) return;
  check_cuda("cudaMemcpyAsync", cudaMemcpyAsync(to, from, size_bytes, kind, stream));
}

void* allocate_by_itself(std::size_t size_bytes) {
  const std::string call = "cudaMalloc of " + std::to_string(size_bytes) + " bytes";
  void* pointer = nullptr;
  check_cuda(call.c_str(), cudaMalloc(&pointer, size_bytes));
  return pointer;
}

// After a failure of the device freeing fails as well, and nobody is left to be told.
void release_by_itself(void* pointer) { cudaFree(pointer); }

// Like the device in use, of the process: memory must go back where it came from.
DevicePool& pool_in_use() {
  static DevicePool pool{.allocate = allocate_by_itself, .release = release_by_itself};
  return pool;
}

}  // namespace

void take_device_memory_from(const DevicePool& pool) { pool_in_use() = pool; }

DeviceMemory::DeviceMemory(std::size_t size_bytes) : size_bytes_(size_bytes) {
  if (size_bytes > 0) pointer_ = pool_in_use().allocate(size_bytes);
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : pointer_(std::exchange(other.pointer_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(pointer_, other.pointer_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  if (pointer_ != nullptr) pool_in_use().release(pointer_);
}

PinnedMemory::PinnedMemory(std::size_t size_bytes) : size_bytes_(size_bytes) {
  if (size_bytes == 0) return;
  const std::string call = "cudaHostAlloc of " + std::to_string(size_bytes) + " bytes";
  check_cuda(call.c_str(), cudaHostAlloc(&pointer_, size_bytes, cudaHostAllocDefault));
}

PinnedMemory::PinnedMemory(PinnedMemory&& other) noexcept
    : pointer_(std::exchange(other.pointer_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  std::swap(pointer_, other.pointer_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

PinnedMemory::~PinnedMemory() {
  if (pointer_ != nullptr) cudaFreeHost(pointer_);
}

void copy_to_device(void* to, const void* from, std::size_t size_bytes, Stream stream) {
  copy(to, from, size_bytes, cudaMemcpyHostToDevice, stream);
}

void copy_to_host(void* to, const void* from, std::size_t size_bytes, Stream stream) {
  copy(to, from, size_bytes, cudaMemcpyDeviceToHost, stream);
}

void copy_on_device(void* to, const void* from, std::size_t size_bytes, Stream stream) {
  copy(to, from, size_bytes, cudaMemcpyDeviceToDevice, stream);
}

void fill_with_zeros(void* to, std::size_t size_bytes, Stream stream) {
  if (size_bytes == 0) return;
  check_cuda("cudaMemsetAsync", cudaMemsetAsync(to, 0, size_bytes, stream));
}

}  // namespace hetmoe::gpu
