#pragma once

#include <cstdint>

namespace hetmoe {

/// Lets the allocator keep what is freed, and tensors and the heap lie in huge pages. A step frees
/// and takes again the same large blocks; glibc would return them to the system each time, and
/// faulting the pages in again takes more than half of a small step. In pages of 4 KiB memory is
/// read at little more than half its rate. For the heap, addresses (no memory) are reserved for as
/// much as memory_limit_bytes(), unless addresses are limited (ulimit -v, -d) or counted as memory
/// (vm.overcommit_memory = 2). Call once, before the first tensor is allocated and threads are
/// started. Memory use: the peak stays. THP_MEM_ALLOC_ENABLE=0 in the environment leaves pages as
/// they are.
void keep_freed_memory();

/// What this process may use at most: the machine's memory, or the control group's limit if lower.
std::int64_t memory_limit_bytes();

/// Largest resident size of this process so far.
std::int64_t peak_resident_bytes();

/// What a process has held at the most so far, in bytes.
struct PeakMemory {
  std::int64_t host_bytes = 0;    ///< resident
  std::int64_t device_bytes = 0;  ///< of its GPU (core/tensor/gpu_memory.h); 0 where it has none
};
PeakMemory peak_memory(bool on_gpu);

}  // namespace hetmoe
