#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/files/file_descriptor.h"

namespace hetmoe {

/// Element types of the safetensors format, by their names there ("BF16", "F8_E4M3FNUZ").
enum class TensorType : std::uint8_t {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kI16,
  kU16,
  kF16,
  kBf16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};

std::string_view type_name(TensorType type);
int bits_of(TensorType type);

/// One tensor of a file: row-major, packed, little-endian.
struct TensorInfo {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0;  ///< bytes, in the data that follow the header
  std::int64_t end = 0;

  std::int64_t bytes() const { return end - begin; }
};

/// What the header of a file says.
struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<TensorInfo> tensors;  ///< in the order of their data
};

/// Longer headers are refused, as the reference library does.
inline constexpr std::int64_t kLongestSafetensorsHeader = 100'000'000;

/// Reads and checks a header's text, at least as strictly as the reference library: valid UTF-8 and
/// JSON, no name twice, known types, sizes that do not overflow and agree with shapes, tensors that
/// tile `data_bytes` without hole or overlap. `file` is named in errors. Errors: StorageError, one
/// line.
SafetensorsHeader parse_safetensors_header(std::string_view text, std::int64_t data_bytes,
                                           const std::string& file);

/// A file open for reading. Owns the descriptor; reads are positioned, so several threads may read
/// at once. Errors: StorageError that names the file and what is wrong with it.
class SafetensorsReader {
 public:
  /// Reads and checks the header and the file's length; not the data.
  explicit SafetensorsReader(std::filesystem::path path);
  SafetensorsReader(SafetensorsReader&&) noexcept = default;
  SafetensorsReader& operator=(SafetensorsReader&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const SafetensorsHeader& header() const { return header_; }

  /// nullptr: no such tensor. Cost: logarithmic.
  const TensorInfo* find(std::string_view name) const;

  /// Bytes [begin, begin + out.size()) of a tensor of this file. Blocking: the disk.
  void read(const TensorInfo& tensor, std::int64_t begin, std::span<std::byte> out) const;

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  std::int64_t data_begin_ = 0;
  SafetensorsHeader header_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

/// What was written.
struct WrittenFile {
  std::int64_t bytes = 0;
  std::string digest;  ///< of the whole file, as digest_of gives it
};

/// Writes a file front to back: the header at once, then the data in the order of the tensors.
/// Under the final name: whoever needs "whole or absent" puts a marker beside it. A file that is
/// not finished is removed; one that is there already is refused and left alone.
/// Blocking: the disk. Errors: StorageError that names the file.
class SafetensorsWriter {
 public:
  /// begin and end of `tensors` are ignored and laid out one after another. The header is padded
  /// with spaces to a multiple of 8 bytes: types that come widest first are aligned. Names must
  /// differ, `__metadata__` is none; a StorageError says which is not so, and nothing is written.
  SafetensorsWriter(std::filesystem::path path, std::vector<TensorInfo> tensors,
                    const std::map<std::string, std::string>& metadata = {{"format", "pt"}});
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  /// The next bytes of the data. Buffered: pieces may be small.
  void write(std::span<const std::byte> bytes);

  /// After all data: syncs the file and its folder, closes. Once.
  WrittenFile finish();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace hetmoe
