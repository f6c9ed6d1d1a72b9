#include "runtime/checkpoint/marker_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/files/read_failure.h"
#include "runtime/checkpoint/manifest.h"

namespace hetmoe {
namespace {

[[noreturn]] void not_committed(const std::filesystem::path& marker) {
  throw StorageError("'" + marker.parent_path().string() +
                     "' is no committed checkpoint: " + kCommittedName + " is missing");
}

FileDescriptor open_marker(const std::filesystem::path& marker, int access) {
  FileDescriptor file(::open(marker.c_str(), access | O_CLOEXEC | O_NONBLOCK));
  if (file.is_open()) return file;
  const int failure = errno;
  std::error_code ignored;
  if (failure == ENOENT && std::filesystem::is_directory(marker.parent_path(), ignored)) {
    not_committed(marker);
  }
  fail_to_read("open", marker, failure);
}

/// Whether the lock was granted, or there are none here.
bool lock(const FileDescriptor& marker, int operation) {
  while (::flock(marker.get(), operation) != 0) {
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR) return true;
  }
  return true;
}

}  // namespace

MarkerLock MarkerLock::shared(const std::filesystem::path& marker) {
  FileDescriptor file = open_marker(marker, O_RDONLY);
  lock(file, LOCK_SH);
  struct stat status {};
  if (::fstat(file.get(), &status) == 0 && status.st_nlink == 0) not_committed(marker);
  return MarkerLock(std::move(file));
}

std::optional<MarkerLock> MarkerLock::exclusive(const std::filesystem::path& marker) {
  // For writing: NFS grants no exclusive lock otherwise.
  FileDescriptor file = open_marker(marker, O_RDWR);
  if (!lock(file, LOCK_EX | LOCK_NB)) return std::nullopt;
  return MarkerLock(std::move(file));
}

}  // namespace hetmoe
