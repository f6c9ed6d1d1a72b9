#include "runtime/coordinator/network/private_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <span>

#include "core/base/check.h"
#include "core/base/error.h"
#include "core/files/file_descriptor.h"

namespace hetmoe {
namespace {

constexpr mode_t kOwnerOnly = 0600;
constexpr mode_t kGroupAndOthers = 0077;
constexpr std::int64_t kLargestBytes = 64 << 10;

[[noreturn]] void fail(const char* what, const std::filesystem::path& path,
                       const std::string& reason) {
  throw StorageError(detail::concatenate("cannot ", what, " '", path.string(), "': ", reason));
}

int write_and_sync(int descriptor, std::string_view contents) {
  // The process's mask may take rights from the owner as well.
  if (::fchmod(descriptor, kOwnerOnly) != 0) return errno;
  const int failure = write_fully(descriptor, std::as_bytes(std::span(contents)));
  if (failure != 0) return failure;
  return ::fsync(descriptor) == 0 ? 0 : errno;
}

}  // namespace

void write_private_file(const std::filesystem::path& path, std::string_view contents) {
  std::string temporary = path.string() + ".part-XXXXXX";
  // Creates it anew with mode 600: a file or link that somebody laid there is never written to.
  FileDescriptor file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!file.is_open()) fail("write", path, std::strerror(errno));
  int failure = write_and_sync(file.get(), contents);
  if (const int close_failure = file.close(); failure == 0) failure = close_failure;
  if (failure == 0 && std::rename(temporary.c_str(), path.c_str()) != 0) failure = errno;
  if (failure != 0) {
    ::unlink(temporary.c_str());
    fail("write", path, std::strerror(failure));
  }
  sync_folder_of(path);  // the file is there: a folder that cannot be synced is no failure
}

std::string read_small_file(const std::filesystem::path& path, bool is_secret) {
  // Not blocking: a named pipe must not stop us before fstat tells what it is.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) fail("read", path, std::strerror(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    fail("read", path, "not a regular file");
  }
  if (is_secret && (status.st_mode & kGroupAndOthers) != 0) {
    fail("use", path, "others than its owner may read or change it; allowed is mode 600");
  }
  if (status.st_size > kLargestBytes) {
    fail("read", path,
         detail::concatenate(status.st_size, " bytes, allowed are up to ", kLargestBytes));
  }
  std::string text(static_cast<std::size_t>(kLargestBytes), '\0');
  const std::int64_t got = read_fully(file.get(), 0, std::as_writable_bytes(std::span(text)));
  if (got < 0) fail("read", path, std::strerror(errno));
  text.resize(static_cast<std::size_t>(got));
  return text;
}

}  // namespace hetmoe
