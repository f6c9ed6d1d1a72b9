#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace hetmoe {

/// The bytes of a file as they were before it was compressed, from the first to the last.
/// Reading blocks on the disk. Errors: StorageError naming the file, of a compressed one that is
/// cut short or damaged also the byte of the file at which that shows.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  /// Puts some bytes into `out` (not empty) and gives their number; 0 only at the end.
  virtual std::size_t read(std::span<char> out) = 0;
  /// Passes over so many bytes: seeks in a plain file, decompresses others. StorageError where the
  /// source ends before.
  virtual void skip(std::int64_t count_bytes) = 0;
  /// Bytes of the file itself that were read so far.
  virtual std::int64_t file_bytes() const = 0;
};

enum class Compression { kNone, kGzip, kZstd };

/// "" of kNone, "gzip" or "zstd".
const char* name_of(Compression compression);

/// By the first bytes of the file, whatever its name. Errors: StorageError.
Compression compression_of(const std::string& path);

/// Plain, gzip (any number of members) or zstd (any number of frames, windows up to 128 MiB).
/// Memory: 1 MiB, and what zstd's window asks for.
std::unique_ptr<ByteSource> open_byte_source(const std::string& path);

}  // namespace hetmoe
