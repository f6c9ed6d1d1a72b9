#include "launcher/restart_policy.h"

#include <string.h>  // strsignal

#include <algorithm>
#include <cmath>

namespace hetmoe {
namespace {

constexpr int kLargestSignal = 64;

std::string killed_by(const std::string& what, int signal) {
  return what + " was killed by signal " + std::to_string(signal) + " (" + ::strsignal(signal) +
         ")";
}

/// Without exit.json: mpirun gives the code of the first rank that failed.
Verdict judge_mpirun(const AttemptEnd& end) {
  if (end.mpirun_signal != 0) {
    return {ExitCode::kCommunication, killed_by("mpirun", end.mpirun_signal)};
  }
  const int code = end.mpirun_code;
  if (code > 128 && code <= 128 + kLargestSignal) {
    const std::optional<FirstLost>& lost = end.first_lost;
    const std::string who = lost ? "rank " + std::to_string(lost->rank) +
                                       (lost->host.empty() ? "" : " on " + lost->host)
                                 : "a rank";
    return {ExitCode::kCommunication, killed_by(who, code - 128), lost ? lost->rank : -1};
  }
  const std::string reason = "mpirun ended with code " + std::to_string(code);
  switch (static_cast<ExitCode>(code)) {
    case ExitCode::kDone:
    case ExitCode::kInternal:
    case ExitCode::kConfiguration:
    case ExitCode::kStorage:
    case ExitCode::kCommunication:
    case ExitCode::kCoordinator:
    case ExitCode::kNonFinite:
    case ExitCode::kStoppedBySignal:
    case ExitCode::kDoNotRunAgain:
      return {static_cast<ExitCode>(code), reason};
  }
  return {ExitCode::kCommunication, reason};
}

Verdict judge_stopped(const Verdict& verdict, const AttemptEnd& end) {
  if (end.committed_after) {
    return {ExitCode::kStoppedBySignal, "stopped, step " + std::to_string(*end.committed_after) +
                                            " is saved (" + verdict.reason + ")"};
  }
  return {ExitCode::kCommunication, "stopped before a step was saved (" + verdict.reason + ")"};
}

}  // namespace

bool worth_restarting(ExitCode code) {
  return code == ExitCode::kInternal || code == ExitCode::kCommunication ||
         code == ExitCode::kCoordinator;
}

Verdict judge(const AttemptEnd& end) {
  const Verdict verdict =
      end.record ? Verdict{end.record->code, end.record->reason} : judge_mpirun(end);
  return end.stop_asked && worth_restarting(verdict.code) ? judge_stopped(verdict, end) : verdict;
}

NextAction RestartPolicy::after(const AttemptEnd& end) {
  const Verdict verdict = judge(end);
  if (end.stop_asked || !worth_restarting(verdict.code)) return {.verdict = verdict};
  stalled_attempts_ = end.committed_after != end.committed_before ? 0 : stalled_attempts_ + 1;
  return restart_after(verdict);
}

NextAction RestartPolicy::restart_after(const Verdict& verdict) {
  const int stalled_restarts = std::min(stalled_attempts_, restarts_);
  if (stalled_restarts >= limits_.stalled_restarts) {
    return {.verdict = {ExitCode::kDoNotRunAgain, verdict.reason + "; " +
                                                      std::to_string(stalled_restarts) +
                                                      " restarts in a row saved no new step"}};
  }
  if (restarts_ >= limits_.restarts) {
    return {.verdict = {verdict.code, verdict.reason + "; all " + std::to_string(limits_.restarts) +
                                          " restarts are used"}};
  }
  ++restarts_;
  const double doublings = std::max(0, stalled_attempts_ - 1);
  const double wait = limits_.first_wait_seconds * std::exp2(std::min(doublings, 60.0));
  return {.restart = true,
          .wait_seconds = std::min(wait, limits_.longest_wait_seconds),
          .verdict = verdict};
}

}  // namespace hetmoe
