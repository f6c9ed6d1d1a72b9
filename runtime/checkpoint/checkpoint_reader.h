#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/files/safetensors.h"
#include "runtime/checkpoint/manifest.h"

namespace hetmoe {

/// A committed checkpoint, open for reading. While it lives the checkpoint is not pruned (a shared
/// lock on COMMITTED). Reads only the rows that are asked for. Threads: one.
/// Errors: StorageError that names the file and what is wrong: no marker, damaged manifest, a file
/// missing or of another size, a header that does not agree with the manifest.
class CheckpointReader {
 public:
  /// Reads manifest.json and compares file sizes; not the data.
  explicit CheckpointReader(std::filesystem::path path);
  ~CheckpointReader();
  CheckpointReader(CheckpointReader&& other) noexcept;
  CheckpointReader& operator=(CheckpointReader&&) = delete;

  const std::filesystem::path& path() const { return path_; }
  const Manifest& manifest() const { return manifest_; }

  /// nullptr: no such tensor.
  const CheckpointTensor* find(const std::string& tensor) const;

  /// Rows [begin, end) of a tensor, row-major fp32; out holds exactly those. Opens each file once.
  void read_rows(const std::string& tensor, std::int64_t begin, std::int64_t end,
                 std::span<float> out);

  /// Reads file `index` of the manifest whole and compares its digest. Blocking: the disk, about
  /// 1 s per GB.
  void verify_file(std::size_t index) const;

  /// All files one after another.
  void verify() const;

 private:
  const SafetensorsReader& open_file(const std::string& name);

  std::filesystem::path path_;
  int lock_ = -1;
  Manifest manifest_;
  std::map<std::string, SafetensorsReader> files_;
};

/// The checkpoint that a path stands for: a step's folder itself; of a run directory, or its folder
/// checkpoints, the newest committed step. Errors: StorageError when there is none.
std::filesystem::path resolve_checkpoint(const std::filesystem::path& path);

}  // namespace hetmoe
