#include "runtime/metrics/append_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {

AppendFile::AppendFile(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("open");
  try {
    drop_torn_line();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

void AppendFile::append_line(std::string_view line) {
  HETMOE_CHECK(descriptor_ >= 0, "the file was moved away");
  HETMOE_CHECK(line.find('\n') == std::string_view::npos, "a line holds a newline: ", line);
  std::string bytes(line);
  bytes.push_back('\n');
  struct stat before = {};
  if (::fstat(descriptor_, &before) != 0) fail("inspect");
  ssize_t written = 0;
  do {
    written = ::write(descriptor_, bytes.data(), bytes.size());
  } while (written < 0 && errno == EINTR);
  if (written == static_cast<ssize_t>(bytes.size())) return;
  // A short write means a full disk: a retry would fail, and half a line must not stay.
  if (written >= 0) {
    errno = ::ftruncate(descriptor_, before.st_size) == 0 ? ENOSPC : errno;
  }
  fail("append to");
}

void AppendFile::drop_torn_line() {
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0) fail("inspect");
  off_t end = status.st_size;
  std::array<char, 4096> block = {};
  while (end > 0) {
    const off_t begin = end > static_cast<off_t>(block.size()) ? end - off_t{4096} : 0;
    const ssize_t got =
        ::pread(descriptor_, block.data(), static_cast<std::size_t>(end - begin), begin);
    if (got != end - begin) fail("read");
    const std::string_view text(block.data(), static_cast<std::size_t>(got));
    if (const auto newline = text.rfind('\n'); newline != std::string_view::npos) {
      end = begin + static_cast<off_t>(newline) + 1;
      break;
    }
    end = begin;
  }
  if (end != status.st_size && ::ftruncate(descriptor_, end) != 0) fail("truncate");
}

void AppendFile::fail(const std::string& action) const {
  throw StorageError("cannot " + action + " '" + path_.string() + "': " + std::strerror(errno));
}

}  // namespace hetmoe
