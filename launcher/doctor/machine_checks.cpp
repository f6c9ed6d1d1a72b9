#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <fstream>
#include <sstream>

#include "core/base/clock.h"
#include "launcher/doctor/checks.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

constexpr std::int64_t kKibibyte = 1024;
constexpr std::int64_t kLittleMemoryBytes = std::int64_t{2} << 30;
constexpr std::int64_t kLittleSharedBytes = std::int64_t{64} << 20;
constexpr rlim_t kFewFiles = 1024;
constexpr double kStartOf2025 = 1735689600;  // seconds since 1970

std::string text_of(const char* path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

/// A line of /proc/meminfo in bytes; -1: not there.
std::int64_t memory_line(const std::string& name) {
  std::istringstream lines(text_of("/proc/meminfo"));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    std::int64_t kibibytes = 0;
    if (words >> key >> kibibytes && key == name + ":") return kibibytes * kKibibyte;
  }
  return -1;
}

/// Version 2 of control groups as a container sees it; -1: none.
std::int64_t container_limit() {
  std::int64_t bytes = -1;
  std::istringstream(text_of("/sys/fs/cgroup/memory.max")) >> bytes;
  return bytes > 0 ? bytes : -1;
}

int usable_cores() {
  cpu_set_t mask;
  return ::sched_getaffinity(0, sizeof(mask), &mask) == 0 ? CPU_COUNT(&mask) : 0;
}

Finding memory() {
  const std::int64_t available = memory_line("MemAvailable");
  const std::int64_t limit = container_limit();
  const std::string words =
      std::to_string(usable_cores()) + " cores for this process, " + bytes_text(available) +
      " of memory available" +
      (limit > 0 ? ", at most " + bytes_text(limit) + " in this container" : "");
  if (available >= 0 && available < kLittleMemoryBytes)
    return warning("cores, memory", words, "LibTorch alone takes 300 MiB a rank: close something");
  return ok("cores, memory", words);
}

Finding shared_memory() {
  struct statvfs system = {};
  if (::statvfs("/dev/shm", &system) != 0)
    return warning("shared memory", "no /dev/shm", "mount one: ranks of a machine talk through it");
  const auto room =
      static_cast<std::int64_t>(system.f_bavail) * static_cast<std::int64_t>(system.f_frsize);
  const std::string words = bytes_text(room) + " free in /dev/shm";
  if (room < kLittleSharedBytes)
    return warning("shared memory", words, "in a container: --shm-size=1g, or --ipc=host");
  return ok("shared memory", words);
}

Finding open_files() {
  rlimit limit = {};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const std::string words = limit.rlim_cur == RLIM_INFINITY
                                ? "no limit"
                                : std::to_string(limit.rlim_cur) + " (ulimit -n)";
  if (limit.rlim_cur < kFewFiles)
    return warning("open files", words, "ulimit -n 4096: many ranks and many shards need more");
  return ok("open files", words);
}

/// The word in brackets of a file such as "always [madvise] never".
std::string chosen_word(const char* path) {
  const std::string text = text_of(path);
  const std::size_t begin = text.find('[');
  const std::size_t end = text.find(']');
  return begin == std::string::npos || end < begin ? "" : text.substr(begin + 1, end - begin - 1);
}

Finding pages() {
  const std::string huge = chosen_word("/sys/kernel/mm/transparent_hugepage/enabled");
  int overcommit = 0;
  std::istringstream(text_of("/proc/sys/vm/overcommit_memory")) >> overcommit;
  const std::string words = "huge pages " + (huge.empty() ? "unknown" : huge) +
                            ", overcommit_memory " + std::to_string(overcommit);
  if (huge == "never")
    return warning("pages", words,
                   "as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (steps "
                   "become faster)");
  if (overcommit == 2)
    return warning("pages", words,
                   "addresses count as memory here: a large run may be refused what it never uses");
  return ok("pages", words);
}

Finding clock() {
  const double now = SystemClock().wall_seconds();
  if (now < kStartOf2025)
    return warning("clock", "it says a day before 2025",
                   "set it: times in logs and certificates depend on it");
  return ok("clock", "plausible");
}

}  // namespace

Findings check_machine() { return {memory(), shared_memory(), open_files(), pages(), clock()}; }

}  // namespace hetmoe
