#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/files/safetensors.h"
#include "runtime/checkpoint/manifest.h"
#include "runtime/checkpoint/marker_lock.h"

namespace hetmoe {

/// A committed checkpoint, open for reading. While it lives the checkpoint is not pruned (a shared
/// lock on COMMITTED; a file system without locks protects nothing). Reads only the rows that are
/// asked for. Threads: one.
/// Errors: StorageError that names the file and what is wrong: no marker, a manifest that is
/// damaged or not the one that was committed, a file missing or of another size, a header that does
/// not agree with the manifest.
class CheckpointReader {
 public:
  /// Reads manifest.json and compares file sizes; not the data.
  explicit CheckpointReader(std::filesystem::path path);
  const std::filesystem::path& path() const { return path_; }
  const Manifest& manifest() const { return manifest_; }

  /// nullptr: no such tensor.
  const CheckpointTensor* find(const std::string& tensor) const;

  /// Rows [begin, end) of a tensor, row-major fp32; out holds exactly those. Opens only the files
  /// that hold some of them, and keeps them open, up to 256 at once. A tensor that is not there is
  /// a StorageError; rows that it does not have are the caller's fault (InternalError).
  /// Blocking: the disk.
  void read_rows(const std::string& tensor, std::int64_t begin, std::int64_t end,
                 std::span<float> out);

  /// Reads file `index` of the manifest whole, compares its digest, then its header with the
  /// manifest. Blocking: the disk, about 1 s per GB.
  void verify_file(std::size_t index) const;

  /// All files one after another.
  void verify() const;

 private:
  /// What the manifest says of one tensor of a file.
  struct ExpectedPart {
    std::string key;
    std::vector<std::int64_t> shape;
  };

  const SafetensorsReader& open_file(const std::string& name);
  void check_header(const std::string& name, const SafetensorsReader& file) const;

  std::filesystem::path path_;
  MarkerLock lock_;
  Manifest manifest_;
  std::map<std::string, std::vector<ExpectedPart>> parts_;  ///< by file
  std::map<std::string, SafetensorsReader> files_;
};

/// The folders of steps that a path stands for, ascending, committed or not: a step's folder
/// itself, whatever its name; of a run directory, or its folder checkpoints, all. May be empty.
/// Errors: StorageError when `path` is no folder.
std::vector<std::filesystem::path> step_folders(const std::filesystem::path& path);

/// The checkpoint that a path stands for: the newest committed one of step_folders. Looks at no
/// more than markers. Errors: StorageError when there is none.
std::filesystem::path resolve_checkpoint(const std::filesystem::path& path);

}  // namespace hetmoe
