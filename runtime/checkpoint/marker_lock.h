#pragma once

#include <filesystem>
#include <optional>

#include "core/files/file_descriptor.h"

namespace hetmoe {

/// A lock on a checkpoint's COMMITTED: shared by those that read it, exclusive to the one that
/// removes it. Given back with the object, or by the kernel when the process ends. On a file system
/// that cannot lock every lock is granted. Errors: StorageError that names the marker.
class MarkerLock {
 public:
  /// Waits while the checkpoint is being removed; gone afterwards is an error, as is no marker.
  static MarkerLock shared(const std::filesystem::path& marker);

  /// Does not wait: nothing while a reader holds it.
  static std::optional<MarkerLock> exclusive(const std::filesystem::path& marker);

 private:
  explicit MarkerLock(FileDescriptor marker) : marker_(std::move(marker)) {}

  FileDescriptor marker_;
};

}  // namespace hetmoe
