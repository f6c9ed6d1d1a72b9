#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/error.h"
#include "launcher/exit_record.h"
#include "launcher/mpirun_messages.h"

namespace hetmoe {

/// What one attempt of a run left, once mpirun is gone.
struct AttemptEnd {
  int mpirun_code = 0;                  ///< its exit code; 128 + n where signal n ended a rank
  int mpirun_signal = 0;                ///< the signal that ended mpirun itself; 0: none
  std::optional<FirstLost> first_lost;  ///< as mpirun said
  std::optional<ExitRecord> record;     ///< what this attempt wrote into exit.json
  bool stop_asked = false;              ///< by a signal to the launcher
  std::optional<std::int64_t> committed_before;  ///< newest committed step; empty: none
  std::optional<std::int64_t> committed_after;
};

/// How it ended, for exit codes and for people.
struct Verdict {
  ExitCode code = ExitCode::kDone;
  std::string reason;  ///< one line
  int rank = -1;       ///< that was lost first, where that is known
};

/// exit.json counts where there is one, else mpirun's code; a killed rank or mpirun gives
/// kCommunication. After a stop that was asked for, what would be restarted otherwise gives
/// kStoppedBySignal when a committed step stands, and kCommunication when none does.
Verdict judge(const AttemptEnd& end);

/// Whether the same command may well succeed now: internal errors, lost ranks, the coordinator. A
/// fault of the configuration or of storage, or numbers beyond the limit, would come again.
bool worth_restarting(ExitCode code);

struct RestartLimits {
  int restarts = 10;
  int stalled_restarts = 2;  ///< in a row that committed nothing new
  double first_wait_seconds = 1;
  double longest_wait_seconds = 60;
};

/// What to do after an attempt.
struct NextAction {
  bool restart = false;
  double wait_seconds = 0;  ///< before the restart
  Verdict verdict;          ///< of the attempt; without a restart, of the launch
};

/// Decides on restarts: which failures, how many, how soon. The wait doubles with every attempt in
/// a row that commits nothing new. No clock, no files: a function of the attempts so far.
class RestartPolicy {
 public:
  explicit RestartPolicy(const RestartLimits& limits) : limits_(limits) {}

  /// To be called once after each attempt, in order.
  NextAction after(const AttemptEnd& end);

  int restarts() const { return restarts_; }  ///< ordered so far

 private:
  NextAction restart_after(const Verdict& verdict);

  RestartLimits limits_;
  int restarts_ = 0;
  int stalled_attempts_ = 0;  ///< in a row, the first attempt included
};

}  // namespace hetmoe
