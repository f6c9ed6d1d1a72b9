#include "runtime/trainer/process_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace hetmoe {
namespace {

/// Whether the kernel was advised to give the memory around an address huge pages.
bool is_advised(const void* memory) {
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  std::ifstream maps("/proc/self/smaps");
  bool is_here = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::istringstream range(line);
    if (range >> std::hex >> begin >> dash >> end && dash == '-') {
      is_here = begin <= address && address < end;
    } else if (is_here && line.starts_with("VmFlags:")) {
      return line.find(" hg") != std::string::npos;
    }
  }
  return false;
}

/// A block of the heap that is new to the process.
bool is_new_heap_advised() {
  keep_freed_memory();
  void* const block = std::malloc(32 << 20);
  const bool advised = is_advised(static_cast<char*>(block) + (16 << 20));
  std::free(block);
  return advised;
}

bool can_reserve() {
  int overcommit = 0;
  std::ifstream("/proc/sys/vm/overcommit_memory") >> overcommit;
  rlimit limit{};
  getrlimit(RLIMIT_AS, &limit);
  return overcommit != 2 && limit.rlim_cur == RLIM_INFINITY &&
         std::filesystem::exists("/sys/kernel/mm/transparent_hugepage");
}

/// Each in a process begun anew: the allocator stays as it is set, and holds nothing before.
class ProcessMemory : public testing::Test {
 protected:
  ProcessMemory() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ProcessMemory, HeapIsAdvisedToLieInHugePages) {
  if (!can_reserve()) GTEST_SKIP() << "no huge pages, or addresses are limited";
  EXPECT_EXIT(std::_Exit(is_new_heap_advised() ? 0 : 1), testing::ExitedWithCode(0), "");
}

TEST_F(ProcessMemory, HeapStaysAsItIsWhereThatIsWished) {
  EXPECT_EXIT(
      {
        setenv("THP_MEM_ALLOC_ENABLE", "0", 1);
        std::_Exit(is_new_heap_advised() ? 1 : 0);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(ProcessMemory, ReservesNothingWhereAddressesAreLimited) {
  EXPECT_EXIT(
      {
        rlimit limit{};
        limit.rlim_cur = limit.rlim_max = std::uint64_t{64} << 30;
        setrlimit(RLIMIT_AS, &limit);
        std::_Exit(is_new_heap_advised() ? 1 : 0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace hetmoe
