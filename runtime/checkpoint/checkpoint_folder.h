#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/checkpoint/manifest.h"

namespace hetmoe {

/// One step's folder, `step-00000100`.
struct SavedStep {
  std::int64_t step = 0;
  std::filesystem::path path;
  bool committed = false;  ///< holds COMMITTED; whether it verifies is for CheckpointReader to say
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

  /// An empty folder for a step, made with its parents. What an unfinished save of this step left
  /// is removed; a committed step is refused.
  std::filesystem::path begin(std::int64_t step) const;

  /// After all data files are written and synced: manifest, then marker. Checks before that each
  /// file of the manifest is there with its size, and that read_manifest takes the manifest.
  void commit(const Manifest& manifest) const;

  /// Marker first, then the rest; whoever reads it meanwhile loses it. What is not there is no
  /// error. A step that is a symbolic link is refused: its files are kept by somebody else.
  void remove(std::int64_t step) const;

  /// Removes what `retention` does not keep and no reader holds (CheckpointReader): committed steps
  /// older than the newest ones, and unfinished ones older than the newest committed. Symbolic
  /// links stay. Gives what was removed. A step that cannot be removed is left for the next time
  /// and its error appended to `failures`; nothing is thrown for it.
  std::vector<std::int64_t> prune(const Retention& retention,
                                  std::vector<std::string>& failures) const;

 private:
  std::filesystem::path path_;
};

/// What COMMITTED holds: the step and the digest of manifest.json.
std::string committed_text(std::int64_t step, std::string_view manifest);

/// Every file of the manifest is a regular file in `folder`, with its size. Errors: StorageError
/// that names the first that is not.
void require_files(const std::filesystem::path& folder, const Manifest& manifest);

/// Whether a step's folder holds COMMITTED. Errors: StorageError when that cannot be told; a marker
/// that cannot be seen is not the same as none.
bool is_committed(const std::filesystem::path& folder);

/// "step-00000100"; steps beyond eight digits are longer.
std::string step_folder_name(std::int64_t step);
/// The step that a folder of this name holds, if it is such a name.
std::optional<std::int64_t> step_of_folder(const std::string& name);

}  // namespace hetmoe
