#include "launcher/asked_command.h"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <thread>

#include "core/base/error.h"
#include "launcher/error_text.h"
#include "runtime/checkpoint/checkpoint_folder.h"
#include "runtime/metrics/run_directory.h"
#include "runtime/report/coordinator_text.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

constexpr std::chrono::milliseconds kBetweenLooks{200};
constexpr int kFailed = static_cast<int>(ExitCode::kCoordinator);

}  // namespace

AskedCommand::AskedCommand(const CoordinatorTarget& target, std::string name, CommandKind kind)
    : target_(target), name_(std::move(name)), kind_(kind) {
  if (target.has_run_directory()) exit_.emplace(target.run_directory());
}

void AskedCommand::send() {
  client_ = target_.connect();
  accepted_ = client_->command(kind_);
  say("accepted as command " + std::to_string(accepted_.number));
}

int AskedCommand::follow(double seconds) {
  const double deadline = clock_.monotonic_seconds() + seconds;
  do {
    try {
      // A run that was started again has a new address and a new token.
      if (!absence_.empty()) client_ = target_.connect();
      const CoordinatorStatus status = client_->status();
      absence_.clear();
      if (is_done(status)) return 0;
    } catch (const CoordinatorError& error) {
      if (error.fault() != CoordinatorFault::kUnreachable) throw;
      absence_ = error.what();
      if (const auto code = ended()) return *code;
    }
    std::this_thread::sleep_for(kBetweenLooks);
  } while (clock_.monotonic_seconds() < deadline);
  return give_up(seconds);
}

bool AskedCommand::is_done(const CoordinatorStatus& status) {
  const auto found =
      std::find_if(status.commands.begin(), status.commands.end(), [&](const auto& command) {
        return command.number == accepted_.number && command.executed_step > 0;
      });
  if (found != status.commands.end() && accepted_.executed_step == 0) {
    accepted_ = *found;
    say("executed after step " + std::to_string(accepted_.executed_step));
  }
  if (accepted_.executed_step == 0) return false;
  if (kind_ != CommandKind::kSave) return true;
  if (status.committed.step < accepted_.executed_step) return false;
  say("committed step " + std::to_string(status.committed.step));
  return true;
}

/// The coordinator of rank 0 goes with the run; what it did not live to say the files tell.
std::optional<int> AskedCommand::ended() {
  const auto record = exit_ ? exit_->written_since() : std::nullopt;
  if (!record) return {};
  const std::string how =
      "the run " + run_end_text({.code = static_cast<int>(record->code), .reason = record->reason});
  if (kind_ == CommandKind::kStop || kind_ == CommandKind::kStopAndRequeue) {
    say(how);
    return 0;
  }
  if (kind_ == CommandKind::kSave && is_saved_on_disk()) {
    say("committed");
    return 0;
  }
  print_error(name_ + ": " + how + "; " + queued());
  return kFailed;
}

bool AskedCommand::is_saved_on_disk() const {
  if (accepted_.executed_step == 0) return false;
  const RunDirectory directory = RunDirectory::open(target_.run_directory());
  try {
    const auto steps = CheckpointFolder(directory.checkpoints_folder()).steps();
    return std::ranges::any_of(steps, [&](const SavedStep& saved) {
      return saved.committed && saved.step >= accepted_.executed_step;
    });
  } catch (const StorageError&) {
    return false;
  }
}

int AskedCommand::give_up(double seconds) const {
  std::string text = name_ + ": ";
  if (accepted_.executed_step == 0) {
    text += "not executed within " + duration_text(seconds) + "; " + queued();
  } else {
    text += "executed after step " + std::to_string(accepted_.executed_step) +
            ", but not committed within " + duration_text(seconds);
  }
  if (!absence_.empty()) text += " (" + absence_ + ")";
  print_error(text);
  return kFailed;
}

void AskedCommand::say(const std::string& text) const {
  std::cout << name_ << ": " << text << std::endl;
}

std::string AskedCommand::queued() const {
  if (accepted_.executed_step > 0) {
    return "executed after step " + std::to_string(accepted_.executed_step) + ", not committed";
  }
  return "it stays queued as command " + std::to_string(accepted_.number);
}

}  // namespace hetmoe
