#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/base/clock.h"
#include "launcher/coordinator_target.h"
#include "launcher/exit_record.h"

namespace hetmoe {

/// A command that a person has asked for, followed until it is done. Says on standard output what
/// comes of it, on standard error what does not.
class AskedCommand {
 public:
  /// The target must outlive it. `name`: as typed.
  AskedCommand(const CoordinatorTarget& target, std::string name, CommandKind kind);

  /// Errors: CoordinatorError.
  void send();
  /// Gives the exit code: 0, or 5 when `seconds` were not enough. Errors: CoordinatorError, but for
  /// one of not being reachable, which may pass.
  int follow(double seconds);

 private:
  bool is_done(const CoordinatorStatus& status);
  std::optional<int> ended();
  bool is_saved_on_disk() const;
  int give_up(double seconds) const;
  void say(const std::string& text) const;
  std::string queued() const;

  const CoordinatorTarget& target_;
  const std::string name_;
  const CommandKind kind_;
  SystemClock clock_;
  std::optional<ExitRecordWatch> exit_;  ///< with a run directory
  std::unique_ptr<CoordinatorClient> client_;
  AcceptedCommand accepted_;  ///< as last heard
  std::string absence_;       ///< why the coordinator was not reached last; empty: it was
};

}  // namespace hetmoe
