#include "core/files/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "core/base/error.h"

namespace hetmoe {
namespace {

/// Writes and syncs a new file. Gives 0 or the errno of the first failure.
int write_and_sync(const std::string& path, std::string_view contents) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) return errno;
  int failure = 0;
  while (!contents.empty() && failure == 0) {
    const ssize_t written = ::write(descriptor, contents.data(), contents.size());
    if (written < 0 && errno != EINTR) failure = errno;
    if (written > 0) contents.remove_prefix(static_cast<std::size_t>(written));
  }
  if (failure == 0 && ::fsync(descriptor) != 0) failure = errno;
  if (::close(descriptor) != 0 && failure == 0) failure = errno;
  return failure;
}

/// The rename reaches the disk only with its folder; some file systems cannot sync one, and that
/// is no failure of the write.
void sync_folder(const std::filesystem::path& folder) {
  const int descriptor =
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
  const std::filesystem::path folder = path.parent_path();
  std::string temporary = (folder / ".").string();
  temporary += path.filename().string() + ".part-" + std::to_string(::getpid());
  int failure = write_and_sync(temporary, contents);
  if (failure == 0 && std::rename(temporary.c_str(), path.c_str()) != 0) failure = errno;
  if (failure != 0) {
    ::unlink(temporary.c_str());
    throw StorageError("cannot write '" + path.string() + "': " + std::strerror(failure));
  }
  sync_folder(folder);
}

void require_writable(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  int failure = 0;
  if (std::filesystem::is_directory(path)) {
    failure = EISDIR;
  } else if (::access((folder / ".").c_str(), W_OK) != 0) {
    failure = errno;
  }
  if (failure == 0) return;
  throw StorageError("cannot write '" + path.string() + "': " + std::strerror(failure));
}

}  // namespace hetmoe
