#include "runtime/trainer/process_memory.h"

#include <c10/util/env.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "core/tensor/gpu_memory.h"

namespace hetmoe {
namespace {

constexpr std::size_t kHugePage = 2 << 20;
constexpr std::size_t kLeastHeap = std::size_t{1} << 30;

bool are_addresses_limited() {
  for (const int kind : {RLIMIT_AS, RLIMIT_DATA}) {
    rlimit limit{};
    if (getrlimit(kind, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY) return true;
  }
  return false;
}

/// Where the kernel promises no more memory than there is, reserved addresses would be taken from
/// other processes.
bool are_promises_counted() {
  int mode = 0;
  std::ifstream("/proc/sys/vm/overcommit_memory") >> mode;
  return mode == 2;
}

/// Takes addresses, not memory, for as much as the heap may ever hold, and gives them back to the
/// allocator, which grows into them. Whether they are the heap's: another allocator may be in use.
bool reserve_heap(std::size_t bytes) {
  void* const begin = std::malloc(bytes);
  if (begin == nullptr) return false;
  char* const end = static_cast<char*>(sbrk(0));
  const std::ptrdiff_t here = end - static_cast<char*>(begin);
  const bool is_heap =
      here >= static_cast<std::ptrdiff_t>(bytes) && here < static_cast<std::ptrdiff_t>(2 * bytes);
  if (is_heap) {
    auto address = reinterpret_cast<std::uintptr_t>(begin);
    address += kHugePage - address % kHugePage;
    char* const first =
        static_cast<char*>(begin) + (address - reinterpret_cast<std::uintptr_t>(begin));
    madvise(first, static_cast<std::size_t>(end - first) / kHugePage * kHugePage, MADV_HUGEPAGE);
  }
  std::free(begin);
  return is_heap;
}

/// Pages are chosen when memory is first touched, so the advice must come before; glibc itself can
/// give it only by a tunable of the environment.
void put_heap_in_huge_pages() {
  if (are_addresses_limited() || are_promises_counted()) return;
  for (auto bytes = static_cast<std::size_t>(memory_limit_bytes()); bytes >= kLeastHeap;
       bytes /= 2) {
    if (reserve_heap(bytes)) return;
  }
}

}  // namespace

void keep_freed_memory() {
  setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);  // LibTorch looks at its first allocation
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);  // never
  mallopt(M_TOP_PAD, 64 << 20);
  if (c10::utils::check_env("THP_MEM_ALLOC_ENABLE") == true) put_heap_in_huge_pages();
}

std::int64_t memory_limit_bytes() {
  const std::int64_t machine =
      static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE);
  std::int64_t group = machine;
  std::ifstream limit("/sys/fs/cgroup/memory.max");
  if (!(limit >> group)) group = machine;  // no such file, or "max"
  return std::min(machine, group);
}

std::int64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

PeakMemory peak_memory(bool on_gpu) {
  return {.host_bytes = peak_resident_bytes(),
          .device_bytes = on_gpu ? gpu_memory().peak_bytes : 0};
}

}  // namespace hetmoe
