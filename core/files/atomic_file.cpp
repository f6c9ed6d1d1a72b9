#include "core/files/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>

#include "core/base/error.h"
#include "core/files/file_descriptor.h"

namespace hetmoe {
namespace {

/// Writes and syncs a new file. Gives 0 or the errno of the first failure.
int write_and_sync(const std::string& path, std::string_view contents) {
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.is_open()) return errno;
  int failure = write_fully(file.get(), std::as_bytes(std::span(contents)));
  if (failure == 0 && ::fsync(file.get()) != 0) failure = errno;
  const int close_failure = file.close();
  return failure != 0 ? failure : close_failure;
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
  sync_folder_of(path);  // the file is there: a folder that cannot be synced is no failure
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
