#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

namespace hetmoe {

/// Owns an open file; -1: none.
class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor = -1) : descriptor_(descriptor) {}
  ~FileDescriptor() { close(); }
  FileDescriptor(FileDescriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;

  int get() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }

  /// 0, or the errno of the failure. Closed it is in any case.
  int close();

 private:
  int descriptor_;
};

/// Writes all bytes where the descriptor stands, interruptions or not. 0, or the errno.
int write_fully(int descriptor, std::span<const std::byte> bytes);

/// Reads from `offset_bytes` until `out` is full or the file ends. The bytes read, or -1 and errno.
std::int64_t read_fully(int descriptor, std::int64_t offset_bytes, std::span<std::byte> out);

/// Makes the name of a new file in the folder of `path` last. 0, or the errno; that a file system
/// cannot sync folders (EINVAL) is no failure.
int sync_folder_of(const std::filesystem::path& path);

}  // namespace hetmoe
