#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <string>

#include "core/base/error.h"

namespace hetmoe {

/// What `RUN_DIR/exit.json` says.
struct ExitRecord {
  ExitCode code = ExitCode::kDone;
  std::string reason;  ///< one line, shortened
};

/// What stands there, of whichever attempt; nothing when the file is absent or not of the contract.
/// Never throws.
std::optional<ExitRecord> read_exit_record(const std::filesystem::path& run_directory);

/// Tells the exit.json of an attempt from one that an earlier run left, by the file itself and not
/// by its time: the clocks of this host and of a file server differ.
class ExitRecordWatch {
 public:
  /// Remembers what stands there now.
  explicit ExitRecordWatch(const std::filesystem::path& run_directory);

  /// What was written since; nothing when the file is absent, as it was, or not of the contract.
  /// Never throws.
  std::optional<ExitRecord> written_since() const;

 private:
  std::filesystem::path path_;
  std::optional<struct stat> before_;
};

}  // namespace hetmoe
