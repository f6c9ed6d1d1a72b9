#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "core/base/clock.h"
#include "runtime/metrics/run_directory.h"
#include "runtime/metrics/run_lock.h"

namespace hetmoe {

/// What to do with a folder that a run has used.
enum class ResumePolicy { kContinue, kNever };

/// A run directory and the lock that keeps other runs out.
struct HeldRun {
  RunDirectory directory;
  std::unique_ptr<RunLock> lock;
  bool continued = false;  ///< a run has used the folder before

  int generation() const { return lock->generation(); }
};

/// Locks the folder `given` and makes it ready; rank 0 only. A folder that a run has used (it holds
/// metrics.jsonl and config.yaml, or checkpoints) is continued: its files stay, exit.json goes. One
/// that is absent, holds nothing of a run, or a run that was killed before it wrote config.yaml, is
/// a new run's, as is a new `runs/<config_name>-...` without `given`.
/// With kNever a used folder is refused, as by RunDirectory::create, and nothing is left in it.
/// Blocking and errors: as RunLock; StorageError also for a folder with metrics.jsonl or
/// config.yaml that cannot be continued.
HeldRun continue_or_create(const std::optional<std::filesystem::path>& given,
                           std::string_view config_name, const Clock& clock, ResumePolicy policy,
                           const LockHolder& self, const RunLockOptions& options = {});

}  // namespace hetmoe
