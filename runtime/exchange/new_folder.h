#pragma once

#include <filesystem>

namespace hetmoe {

/// A folder that appears whole or not at all: written as NAME.partial-PROCESS beside it, renamed at
/// the end, removed with this object otherwise.
/// Errors: StorageError that names the folder.
class NewFolder {
 public:
  /// Refused: a target that is there and not empty. With `replace` it may be a folder of files
  /// alone among which is config.json, and nothing else: a mistyped name must not cost more than
  /// that.
  NewFolder(std::filesystem::path target, bool replace);
  ~NewFolder();
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  /// Where to write until commit().
  const std::filesystem::path& path() const { return partial_; }

  /// Once all files are written and synced. What stood at the target goes.
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path partial_;
  bool committed_ = false;
};

}  // namespace hetmoe
