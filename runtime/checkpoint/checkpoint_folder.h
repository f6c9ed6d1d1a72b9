#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "runtime/checkpoint/manifest.h"

namespace hetmoe {

/// One step's folder, `step-00000100`.
struct SavedStep {
  std::int64_t step = 0;
  std::filesystem::path path;
  bool committed = false;  ///< holds COMMITTED
};

/// How many checkpoints stay.
struct Retention {
  int newest = 2;                ///< at least 2
  std::int64_t every_steps = 0;  ///< and all whose step is a multiple of this; 0: none
};

/// `RUN_DIR/checkpoints`: a folder per step. A step without COMMITTED does not exist for readers;
/// it is never repaired, and removed only when the same step is saved again or a later one commits.
/// Order on disk: data files, each synced; manifest.json; COMMITTED, last; the folders synced. In
/// removal COMMITTED goes first.
/// One process writes (rank 0 of the run that holds the run's lock); any may read.
/// Blocking: the disk. Errors: StorageError that names the path.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path path_of(std::int64_t step) const;

  /// All step folders, ascending; other names are left out. Empty when the folder does not exist.
  std::vector<SavedStep> steps() const;

  /// An empty folder for a step. What an unfinished save of this step left is removed; a committed
  /// step is refused.
  std::filesystem::path begin(std::int64_t step) const;

  /// After all data files are written and synced: manifest, then marker. Checks before that each
  /// file of the manifest is there with its size.
  void commit(const Manifest& manifest) const;

  /// Marker first, then the rest.
  void remove(std::int64_t step) const;

  /// Removes what `retention` does not keep and no reader holds (CheckpointReader): committed steps
  /// older than the newest ones, and unfinished ones older than the newest committed. Gives what
  /// was removed. A step that cannot be removed is left for the next time and its error appended to
  /// `failures`.
  std::vector<std::int64_t> prune(const Retention& retention,
                                  std::vector<std::string>& failures) const;

 private:
  std::filesystem::path path_;
};

inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kCommittedName = "COMMITTED";

/// "step-00000100"; steps beyond eight digits are longer.
std::string step_folder_name(std::int64_t step);
/// The step that a folder of this name holds, if it is such a name.
std::optional<std::int64_t> step_of_folder(const std::string& name);

}  // namespace hetmoe
