// One pool: LibTorch's.
#include <c10/core/AllocatorConfig.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>

#include <atomic>
#include <cstdlib>
#include <string>

#include "core/gpu/device_error.h"
#include "core/gpu/devices.h"
#include "core/gpu/memory.h"
#include "core/tensor/gpu_memory.h"
#include "core/tensor/gpu_pool.h"

namespace hetmoe {
namespace {

namespace pool = c10::cuda::CUDACachingAllocator;

// Written by LibTorch's observer, on the thread whose allocation has failed.
std::atomic<std::int64_t> refused_bytes{0};

void* allocate(std::size_t size_bytes) {
  try {
    return pool::raw_alloc(size_bytes);
  } catch (const c10::OutOfMemoryError&) {
    throw gpu::DeviceMemoryError(std::to_string(size_bytes) + " bytes: out of memory");
  }
}

bool has_own_settings() {
  return std::getenv("PYTORCH_ALLOC_CONF") != nullptr ||
         std::getenv("PYTORCH_CUDA_ALLOC_CONF") != nullptr;
}

std::int64_t aggregate(const c10::CachingAllocator::StatArray& values,
                       std::int64_t c10::CachingAllocator::Stat::*which) {
  return values[static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE)].*which;
}

}  // namespace

void begin_gpu_pool() {
  if (!has_own_settings()) c10::CachingAllocator::setAllocatorSettings("expandable_segments:True");
  pool::attachOutOfMemoryObserver([](std::int64_t, std::size_t asked, std::size_t, std::size_t) {
    refused_bytes = static_cast<std::int64_t>(asked);
  });
  gpu::take_device_memory_from({.allocate = allocate, .release = pool::raw_delete});
}

GpuMemory gpu_memory() {
  using c10::CachingAllocator::Stat;
  const gpu::DeviceRoom room = gpu::room_of_device();
  const auto statistics = pool::getDeviceStats(c10::cuda::current_device());
  const std::int64_t reserved = aggregate(statistics.reserved_bytes, &Stat::current);
  const std::int64_t allocated = aggregate(statistics.allocated_bytes, &Stat::current);
  return {.total_bytes = room.total_bytes,
          .free_bytes = room.free_bytes + reserved - allocated,
          .peak_bytes = aggregate(statistics.reserved_bytes, &Stat::peak),
          .refused_bytes = refused_bytes};
}

}  // namespace hetmoe
