#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/files/file_descriptor.h"

namespace hetmoe {

/// A file that appears whole or not at all: written to PATH.partial, synced, then renamed.
/// Buffered. Destruction without commit() removes what was written, unless keep() was called. Move
/// is not needed: not movable. Errors: StorageError naming the file and the system's reason;
/// another process that is writing the same file is one of them.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path);
  /// Goes on with a PATH.partial that was kept, behind its first `kept_bytes`; the rest of it goes.
  /// It stays kept. StorageError where there is none, or a shorter one.
  OutputFile(const std::string& path, std::int64_t kept_bytes);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(const std::string& text);
  std::int64_t written_bytes() const { return written_bytes_; }

  /// Everything written reaches the disk; the name is still the temporary one.
  void sync();
  /// From now on destruction leaves PATH.partial as it is, for a later process to go on with.
  void keep() { kept_ = true; }
  /// sync(), then the file takes its name (replacing what had it), then its folder is synced.
  void commit();
  /// What was written so far, from the start. For spill files that are read back.
  void read_back(std::int64_t offset_bytes, std::span<std::byte> out);

 private:
  void lock();
  void cut(std::int64_t bytes);
  void flush();

  std::string path_;
  std::string partial_path_;
  FileDescriptor descriptor_;
  bool kept_ = false;
  std::vector<std::byte> buffer_;
  std::int64_t written_bytes_ = 0;
};

}  // namespace hetmoe
