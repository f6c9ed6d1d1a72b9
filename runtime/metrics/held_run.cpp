#include "runtime/metrics/held_run.h"

#include <utility>

namespace hetmoe {

HeldRun continue_or_create(const std::optional<std::filesystem::path>& given,
                           std::string_view config_name, const Clock& clock, ResumePolicy policy,
                           const LockHolder& self, const RunLockOptions& options) {
  if (!given) {
    RunDirectory directory = RunDirectory::create({}, config_name, clock);
    auto lock = std::make_unique<RunLock>(directory, self, clock, options);
    return {std::move(directory), std::move(lock)};
  }
  RunDirectory directory = RunDirectory::open(*given);
  if (policy == ResumePolicy::kNever) directory.require_unused();
  directory.make();
  auto lock = std::make_unique<RunLock>(directory, self, clock, options);
  // Only now does nobody else change what the folder holds.
  if (policy == ResumePolicy::kNever) directory.require_unused();
  const bool continued = directory.prepare();
  return {std::move(directory), std::move(lock), continued};
}

}  // namespace hetmoe
