// Preloaded into a program (LD_PRELOAD), it lets files fail as bad disks do. HETMOE_BAD_DISK names
// a file of rules, which is read anew at every call, so that a test may change its mind. One a
// line:
//
//   CALL ACTION PART      for files whose path holds PART; of a rename the new path counts
//   clock SECONDS -       the wall clock is off by so much
//
// CALL: open, pread, write, fsync, rename, remove (unlink and unlinkat too, whose path may be the
// name alone). ACTION: the number of an errno; `hang`, until
// the rule is gone; `kill`, the process by SIGKILL just before the call.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <string_view>

namespace {

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

/// By system calls, because the functions are those below.
std::string rules() {
  const char* path = std::getenv("HETMOE_BAD_DISK");
  if (path == nullptr) return {};
  const long file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
  if (file < 0) return {};
  std::array<char, 4096> text{};
  const long bytes = syscall(SYS_read, file, text.data(), text.size());
  syscall(SYS_close, file);
  return {text.data(), static_cast<std::size_t>(bytes < 0 ? 0 : bytes)};
}

/// What is to happen to a call on this path; empty: nothing.
std::string action_for(std::string_view call, std::string_view path) {
  std::istringstream lines(rules());
  std::string wanted, action, part;
  while (lines >> wanted >> action >> part) {
    if (wanted == call && path.find(part) != std::string_view::npos) return action;
  }
  return {};
}

/// Whether the call fails; errno is then set.
bool fails(std::string_view call, std::string_view path) {
  const int before = errno;
  std::string action = action_for(call, path);
  while (action == "hang") {
    usleep(10'000);
    action = action_for(call, path);
  }
  if (action == "kill") kill(getpid(), SIGKILL);
  errno = action.empty() ? before : std::atoi(action.c_str());
  return !action.empty();
}

bool fails(std::string_view call, int descriptor) {
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t length = readlink(link.c_str(), path.data(), path.size());
  return length > 0 && fails(call, {path.data(), static_cast<std::size_t>(length)});
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  static const auto real = next<int(const char*, int, ...)>("open");
  return fails("open", path) ? -1 : real(path, flags, mode);
}

ssize_t pread(int descriptor, void* out, size_t bytes, off_t offset) {
  static const auto real = next<ssize_t(int, void*, size_t, off_t)>("pread");
  return fails("pread", descriptor) ? -1 : real(descriptor, out, bytes, offset);
}

ssize_t write(int descriptor, const void* data, size_t bytes) {
  static const auto real = next<ssize_t(int, const void*, size_t)>("write");
  return fails("write", descriptor) ? -1 : real(descriptor, data, bytes);
}

int fsync(int descriptor) {
  static const auto real = next<int(int)>("fsync");
  return fails("fsync", descriptor) ? -1 : real(descriptor);
}

int rename(const char* from, const char* to) {
  static const auto real = next<int(const char*, const char*)>("rename");
  return fails("rename", to) ? -1 : real(from, to);
}

int unlink(const char* path) {
  static const auto real = next<int(const char*)>("unlink");
  return fails("remove", path) ? -1 : real(path);
}

int remove(const char* path) {
  static const auto real = next<int(const char*)>("remove");
  return fails("remove", path) ? -1 : real(path);
}

int unlinkat(int folder, const char* path, int flags) {
  static const auto real = next<int(int, const char*, int)>("unlinkat");
  return fails("remove", path) ? -1 : real(folder, path, flags);
}

int clock_gettime(clockid_t clock, timespec* time) {
  const long failure = syscall(SYS_clock_gettime, clock, time);
  if (failure == 0 && clock == CLOCK_REALTIME) {
    time->tv_sec += std::atol(action_for("clock", "-").c_str());
  }
  return failure == 0 ? 0 : -1;
}
}
