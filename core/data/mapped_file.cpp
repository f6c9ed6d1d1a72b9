#include "core/data/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.h"

namespace hetmoe {
namespace {

[[noreturn]] void fail(const std::string& path, const char* action) {
  throw StorageError("cannot " + std::string(action) + " '" + path + "': " + std::strerror(errno));
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail(path, "open");
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    throw StorageError("cannot map '" + path + "': not a regular file");
  }
  size_bytes_ = status.st_size;
  if (size_bytes_ == 0) {  // mmap refuses length 0
    ::close(descriptor);
    return;
  }
  void* mapped =
      ::mmap(nullptr, static_cast<std::size_t>(size_bytes_), PROT_READ, MAP_SHARED, descriptor, 0);
  ::close(descriptor);
  if (mapped == MAP_FAILED) fail(path, "map");
  pointer_ = static_cast<const std::byte*>(mapped);
}

MappedFile::~MappedFile() {
  if (pointer_ == nullptr) return;
  ::munmap(const_cast<std::byte*>(pointer_), static_cast<std::size_t>(size_bytes_));
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      pointer_(std::exchange(other.pointer_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(pointer_, other.pointer_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

void refuse_bytes(const MappedFile& file, std::int64_t offset_bytes, const std::string& found,
                  const std::string& expected) {
  throw StorageError(file.path() + ": at byte " + std::to_string(offset_bytes) + ": found " +
                     found + ", expected " + expected);
}

}  // namespace hetmoe
