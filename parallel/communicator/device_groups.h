#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace hetmoe {

/// The groups of ranks whose collectives go on without the host, all those of a process: where a
/// watchdog learns of their errors, and where they are stopped together. Must outlive its groups.
/// Threads: any.
class DeviceGroups {
 public:
  class Group {
   public:
    /// Asks only. Must not call DeviceGroups.
    virtual std::optional<std::string> asynchronous_error() = 0;
    virtual void stop(const std::string& reason) noexcept = 0;

   protected:
    ~Group() = default;
  };

  /// How long any of them may take over what somebody waits for. 0: for ever.
  explicit DeviceGroups(double timeout_seconds) : timeout_seconds_(timeout_seconds) {}
  double timeout_seconds() const { return timeout_seconds_; }

  void enter(Group& group);
  void leave(Group& group);

  /// What has gone wrong in one of them while no call was under way: a fault that the library has
  /// met, or a collective that takes longer than the timeout. Never blocks for long.
  std::optional<std::string> asynchronous_error();

  /// Ends the collectives that are under way, unfinished, so that nobody waits for them any more.
  /// The groups are of no use afterwards: every call of theirs throws `reason`.
  void stop(const std::string& reason);

 private:
  double timeout_seconds_;
  std::mutex mutex_;
  std::vector<Group*> groups_;
};

}  // namespace hetmoe
