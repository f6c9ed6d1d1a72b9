#include "runtime/trainer/process_memory.h"

#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "core/tensor/gpu_memory.h"

namespace hetmoe {

void keep_freed_memory() {
  setenv("THP_MEM_ALLOC_ENABLE", "1", /*overwrite=*/0);  // LibTorch looks at its first allocation
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, 64 << 20);
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
