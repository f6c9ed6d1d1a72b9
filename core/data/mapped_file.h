#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

namespace hetmoe {

/// A whole file, read-only, in the address space. Move-only; unmaps on destruction.
/// Errors: StorageError when the file cannot be opened or is not a regular file. Cost: no copy,
/// pages come in when touched. A file that somebody truncates afterwards ends the process (SIGBUS).
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::int64_t size_bytes() const { return size_bytes_; }
  std::span<const std::byte> bytes() const {
    return {pointer_, static_cast<std::size_t>(size_bytes_)};
  }

 private:
  std::string path_;
  const std::byte* pointer_ = nullptr;
  std::int64_t size_bytes_ = 0;
};

/// The number at a byte offset, which must lie in the file. Copied: nothing is aligned behind
/// headers of odd lengths.
template <typename T>
T load(const MappedFile& file, std::int64_t offset_bytes) {
  T value;
  std::memcpy(&value, file.bytes().data() + offset_bytes, sizeof(T));
  return value;
}

/// Throws StorageError "PATH: at byte N: found X, expected Y".
[[noreturn]] void refuse_bytes(const MappedFile& file, std::int64_t offset_bytes,
                               const std::string& found, const std::string& expected);

}  // namespace hetmoe
