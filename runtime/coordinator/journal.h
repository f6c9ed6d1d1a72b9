#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/files/file_descriptor.h"
#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

/// What a coordinator must know again after it was killed. Members are not among it: they join
/// again and report again what they had prepared.
struct JournalState {
  std::string run;
  std::int64_t generation = 0;
  int ranks = 0;
  std::int64_t newest_command = 0;        ///< number
  std::vector<AcceptedCommand> commands;  ///< not executed, and the newest executed ones, by number
  CommittedCheckpoint committed;          ///< of `member` only the generation
};

/// A file of lines that is written ahead: what is recorded is on the disk when the call returns.
/// Each line is the whole state, one JSON object; a torn last line is what was never acknowledged.
/// Rewritten atomically when it grows long. One process at a time: a file beside it, PATH.lock, is
/// locked (on a file system that cannot lock every lock is granted). One thread at a time.
class Journal {
 public:
  static constexpr std::int64_t kMostLines = 1000;  ///< then it is rewritten

  /// Opens or makes it. Errors: StorageError that names the path: not writable, held by another
  /// coordinator, damaged beyond the last line.
  explicit Journal(std::filesystem::path path);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  /// The last one recorded; of an empty journal a default one.
  const JournalState& state() const { return state_; }

  /// Blocking: until it is synced. Errors: StorageError; the state before stands.
  void record(const JournalState& state);

 private:
  void append(const std::string& line);
  void rewrite(const std::string& text, std::int64_t lines);

  std::filesystem::path path_;
  FileDescriptor lock_;
  std::int64_t lines_ = 0;
  bool has_failed_ = false;  ///< the file's end is in doubt: it is to be rewritten
  JournalState state_;
};

/// One line, without its end.
std::string write_journal_state(const JournalState& state);
/// Errors: StorageError that names what is damaged; nothing is trusted.
JournalState read_journal_state(const std::string& line, const std::string& source);

}  // namespace hetmoe
