#include "launcher/supervise.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <string>

#include "core/base/clock.h"
#include "launcher/error_text.h"
#include "launcher/exit_record.h"
#include "launcher/mpirun_process.h"
#include "launcher/rank_lost_event.h"
#include "launcher/restart_policy.h"
#include "launcher/signal_queue.h"
#include "runtime/metrics/run_directory.h"

namespace hetmoe {
namespace {

/// SIGCHLD wakes the wait; this is for one that was lost.
constexpr double kLongestLookSeconds = 1;

std::string number_text(double value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

class Supervisor {
 public:
  Supervisor(const LaunchOptions& options, const Surroundings& surroundings,
             const Observers& observers)
      : options_(options),
        surroundings_(surroundings),
        observers_(observers),
        policy_(options.limits),
        shape_{.ranks = options.ranks, .hosts = {}, .resume = options.resume} {
    if (options.shrink) hosts_ = read_hostfile(options.hostfile);
  }

  int run();

 private:
  AttemptEnd attempt();
  void pass_on(int signal, const MpirunProcess& mpirun);
  void wait_to_restart(double seconds);
  void prepare_restart(const AttemptEnd& end);
  void leave_out_silent_hosts();
  void say_restart(const NextAction& next, const AttemptEnd& end) const;
  void record_loss(const AttemptEnd& end, const Verdict& verdict) const;
  int finish(const AttemptEnd& end, Verdict verdict) const;
  void leave_exit_record(const AttemptEnd& end, const Verdict& verdict) const;
  int attempts() const { return policy_.restarts() + 1; }

  const LaunchOptions& options_;
  const Surroundings& surroundings_;
  const Observers& observers_;
  const SignalQueue signals_;
  RestartPolicy policy_;
  AttemptShape shape_;
  std::vector<Host> hosts_;  ///< of the hostfile, with --shrink
  std::optional<std::int64_t> committed_at_launch_;
  int stop_requests_ = 0;
  bool stop_asked_ = false;
};

int Supervisor::run() {
  committed_at_launch_ = observers_.newest_committed();
  while (true) {
    AttemptEnd end = attempt();
    const int attempt_number = attempts();
    const NextAction next = policy_.after(end);
    if (!next.restart) return finish(end, next.verdict);
    record_loss(end, next.verdict);
    print_error("attempt " + std::to_string(attempt_number) + " ended with code " +
                std::to_string(static_cast<int>(next.verdict.code)) + ": " + next.verdict.reason);
    say_restart(next, end);
    wait_to_restart(next.wait_seconds);
    end.stop_asked = stop_asked_;
    if (stop_asked_) return finish(end, judge(end));
    prepare_restart(end);
  }
}

AttemptEnd Supervisor::attempt() {
  AttemptEnd end;
  end.committed_before = observers_.newest_committed();
  const ExitRecordWatch exit_record(options_.run_dir);
  MpirunProcess mpirun(mpirun_command(options_, surroundings_, shape_));
  std::optional<ProcessEnd> ended;
  while (!(ended = mpirun.poll())) pass_on(signals_.wait(kLongestLookSeconds), mpirun);
  end.mpirun_code = ended->code;
  end.mpirun_signal = ended->signal;
  end.first_lost = mpirun.first_lost();
  end.record = exit_record.written_since();
  end.stop_asked = stop_asked_;
  end.committed_after = observers_.newest_committed();
  return end;
}

void Supervisor::pass_on(int signal, const MpirunProcess& mpirun) {
  if (signal == 0 || signal == SIGCHLD) return;
  stop_asked_ = true;
  if (signal == SIGUSR1) return mpirun.signal(SIGUSR1);
  ++stop_requests_;
  if (stop_requests_ == 1) {
    print_error("stopping: the ranks save and end; the next signal ends them without saving");
    mpirun.signal(SIGUSR1);
  } else if (stop_requests_ == 2) {
    print_error("stopping without saving; the last checkpoint stays");
    mpirun.signal_group(SIGTERM);
  } else {
    mpirun.signal_group(SIGKILL);
  }
}

void Supervisor::wait_to_restart(double seconds) {
  const SystemClock clock;
  const double end = clock.monotonic_seconds() + seconds;
  double left = seconds;
  do {
    const int signal = signals_.wait(left);
    stop_asked_ = stop_asked_ || (signal != 0 && signal != SIGCHLD);
    left = end - clock.monotonic_seconds();
  } while (left > 0 && !stop_asked_);
}

void Supervisor::prepare_restart(const AttemptEnd& end) {
  shape_.resume = resume_of_restart(options_.resume, committed_at_launch_, end.committed_after);
  if (options_.shrink) leave_out_silent_hosts();
}

void Supervisor::leave_out_silent_hosts() {
  const std::vector<Host> kept = answering(hosts_, observers_.answering_hosts);
  shape_.hosts = kept == hosts_ ? "" : host_option(kept);
  const int ranks = kept == hosts_ ? options_.ranks : std::min(options_.ranks, total_slots(kept));
  if (ranks != shape_.ranks || kept != hosts_) {
    print_error(std::to_string(kept.size()) + " of " + std::to_string(hosts_.size()) +
                " hosts answer: going on with " + std::to_string(ranks) + " ranks");
  }
  shape_.ranks = ranks;
}

void Supervisor::say_restart(const NextAction& next, const AttemptEnd& end) const {
  const auto step = end.committed_after;
  print_error("restart " + std::to_string(policy_.restarts()) + " of " +
              std::to_string(options_.limits.restarts) + " in " + number_text(next.wait_seconds) +
              " s, " + (step ? "from step " + std::to_string(*step) : "from the start"));
}

/// An mpirun that was killed may have left ranks that still write.
void Supervisor::record_loss(const AttemptEnd& end, const Verdict& verdict) const {
  if (end.mpirun_signal != 0) return;
  try {
    record_rank_lost(options_.run_dir, verdict, policy_.restarts());
  } catch (const StorageError& error) {
    print_error(error.what());  // the restart matters more than its record
  }
}

int Supervisor::finish(const AttemptEnd& end, Verdict verdict) const {
  if (options_.requeue && judge(end).code == ExitCode::kDoNotRunAgain) {
    verdict = {ExitCode::kStoppedBySignal, verdict.reason + "; to be run again (--requeue)"};
  }
  leave_exit_record(end, verdict);
  const int code = static_cast<int>(verdict.code);
  if (code != 0 || attempts() > 1) {
    print_error("ended with code " + std::to_string(code) + " after " + std::to_string(attempts()) +
                (attempts() == 1 ? " attempt: " : " attempts: ") + verdict.reason);
  }
  return code;
}

/// Killed ranks leave no exit.json, and that restarts led nowhere only the launcher knows. A code
/// with which ranks refuse to start is not written: the folder may be another run's.
void Supervisor::leave_exit_record(const AttemptEnd& end, const Verdict& verdict) const {
  const bool may_be_refusal = verdict.code == ExitCode::kDone ||
                              verdict.code == ExitCode::kConfiguration ||
                              verdict.code == ExitCode::kStorage;
  std::error_code ignored;
  if (may_be_refusal || (end.record && end.record->code == verdict.code) ||
      !std::filesystem::is_directory(options_.run_dir, ignored)) {
    return;
  }
  try {
    RunDirectory::open(options_.run_dir).write_exit_json(verdict.code, verdict.reason);
  } catch (const StorageError& error) {
    print_error(error.what());
  }
}

}  // namespace

int supervise(const LaunchOptions& options, const Surroundings& surroundings,
              const Observers& observers) {
  return Supervisor(options, surroundings, observers).run();
}

std::string resume_of_restart(const std::string& given, std::optional<std::int64_t> at_launch,
                              std::optional<std::int64_t> now) {
  if (given.empty() || given == "auto") return given;
  const bool has_saved = now && now != at_launch;
  const bool was_empty = given == "never" && !at_launch;
  return has_saved || was_empty ? "auto" : given;
}

}  // namespace hetmoe
