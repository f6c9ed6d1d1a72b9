#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/data/prepare_state.h"
#include "core/files/file_descriptor.h"

namespace hetmoe {

/// The output folder of a preparation, and all that is known of the names in it.
///
/// Everything is written as NAME.partial, or into the folder tokenizer.partial. `unfinished.json`
/// (a PrepareState) says how much of it counts. When all is written it says "sealed", then the
/// files take their names, then it goes: at whatever point the process dies, the next one of the
/// same command goes on from there. Errors: StorageError naming the file and the system's reason.
class PrepareFolder {
 public:
  /// Makes the folder and locks it against other processes.
  explicit PrepareFolder(const std::string& path);
  /// Removes what was begun unless a state was saved, and the folder when it was made here and is
  /// empty.
  ~PrepareFolder();
  PrepareFolder(const PrepareFolder&) = delete;
  PrepareFolder& operator=(const PrepareFolder&) = delete;

  std::string file(const std::string& name) const { return (path_ / name).string(); }
  /// A folder in it that holds the tokenizer's files, by the names that they take in the end.
  std::string partial_tokenizer() const { return file("tokenizer.partial"); }
  /// Their names, sorted, and a digest of all that is in them, for the state.
  std::vector<std::string> tokenizer_files() const;
  std::string tokenizer_digest(const std::vector<std::string>& names) const;

  /// The state to go on from; nothing where the work begins anew, which removes what an unfinished
  /// preparation left. Errors: ConfigError, unless `overwrite`, where a result stands, or where an
  /// unfinished preparation does that is of another command or damaged.
  std::optional<PrepareState> begin(const PrepareCommand& command, const SplitOptions& split,
                                    bool overwrite);

  /// What the state tells of must have been synced.
  void save(const PrepareState& state);
  /// Gives the files of a sealed state their names, then forgets the state. Old files of these
  /// names go, an index before what it describes.
  void commit(const PrepareState& state);
  /// Nothing of what was begun shall stay.
  void discard();

 private:
  std::string damage_of(const PrepareState& state, const SplitOptions& split) const;
  std::string standing_result() const;
  void remove(const std::string& name) const;
  void remove_leftovers() const;
  void take_names(const std::vector<std::string>& names) const;

  std::filesystem::path path_;
  bool made_ = false;
  bool discards_ = false;
  FileDescriptor lock_;
};

}  // namespace hetmoe
