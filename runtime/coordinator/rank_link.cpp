// The side of whoever owns the link: what training tells and asks.

#include "runtime/coordinator/rank_link.h"

#include <algorithm>

#include "core/base/check.h"

namespace hetmoe {

RankLink::RankLink(Coordinator& coordinator, JoinRequest identity, const Clock& clock,
                   Settings settings, Collective collective)
    : coordinator_(coordinator),
      clock_(clock),
      settings_(settings),
      collective_(std::move(collective)),
      identity_(std::move(identity)),
      next_beat_(std::chrono::steady_clock::now()),
      next_ask_(next_beat_),
      next_turn_(next_beat_),
      last_heard_seconds_(clock.monotonic_seconds()) {
  HETMOE_CHECK(settings_.beat_seconds > 0, "beats every ", settings_.beat_seconds, " s");
  HETMOE_CHECK(settings_.kept_steps > 0, "no step is kept");
  beat_.member.rank = identity_.member.rank;
  thread_ = std::thread([this] { run(); });
}

RankLink::~RankLink() {
  {
    const std::scoped_lock guard(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::optional<CoordinatorError> RankLink::await_join(double seconds) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::duration<double>(seconds),
                    [&] { return has_joined_ || !refusal_.empty(); });
  if (has_joined_ && refusal_.empty()) return std::nullopt;
  if (fault_) return fault_;
  return CoordinatorError(
      CoordinatorFault::kUnreachable,
      detail::concatenate("the coordinator has not answered within ", seconds, " s"));
}

void RankLink::progress(const Heartbeat& heartbeat) {
  const std::scoped_lock guard(mutex_);
  Heartbeat next = heartbeat;
  next.member = beat_.member;
  next.executed_command = beat_.executed_command;
  next.executed_step = beat_.executed_step;
  beat_ = std::move(next);
}

void RankLink::report(const StepRecord& record, const RunProgress& progress) {
  StepReport report;
  report.record = record;
  report.progress = progress;
  {
    const std::scoped_lock guard(mutex_);
    if (beat_.member.rank != 0 || !refusal_.empty()) return;
    if (outbox_.steps.size() >= settings_.kept_steps) {
      outbox_.steps.pop_front();
      ++outbox_.lost_steps;
    }
    outbox_.steps.push_back(std::move(report));
  }
  changed_.notify_all();
}

void RankLink::prepared(std::int64_t step, std::string configuration_digest,
                        std::vector<PreparedFile> files) {
  {
    const std::scoped_lock guard(mutex_);
    outbox_.prepared = {.step = step,
                        .configuration_digest = std::move(configuration_digest),
                        .files = std::move(files)};
    outbox_.is_new = true;
    must_ask_ = true;
    agreed_ = false;
    ++prepared_number_;
    prepared_seconds_ = clock_.monotonic_seconds();
  }
  changed_.notify_all();
}

bool RankLink::may_commit() const {
  const std::scoped_lock guard(mutex_);
  if (!refusal_.empty() || !outbox_.prepared) return false;
  const double since = std::max(prepared_seconds_, last_heard_seconds_);
  return agreed_ || clock_.monotonic_seconds() - since >= settings_.away_seconds;
}

bool RankLink::is_away() const {
  const std::scoped_lock guard(mutex_);
  return away_since_seconds_.has_value();
}

void RankLink::committed(const CommittedCheckpoint& checkpoint) {
  discard_prepared();
  {
    const std::scoped_lock guard(mutex_);
    if (beat_.member.rank != 0 || !refusal_.empty()) return;
    outbox_.committed = checkpoint;
  }
  changed_.notify_all();
}

void RankLink::discard_prepared() {
  const std::scoped_lock guard(mutex_);
  outbox_.prepared.reset();
  outbox_.is_new = false;
  must_ask_ = false;
  agreed_ = false;
  ++prepared_number_;
}

std::vector<AcceptedCommand> RankLink::take_commands() {
  const std::scoped_lock guard(mutex_);
  return std::exchange(commands_, {});
}

void RankLink::executed(const AcceptedCommand& command, std::int64_t step) {
  HETMOE_CHECK(command.number >= 1 && step >= 1, "command ", command.number, " after step ", step);
  {
    const std::scoped_lock guard(mutex_);
    if (beat_.member.rank != 0 || command.number <= beat_.executed_command) return;
    beat_.executed_command = command.number;
    beat_.executed_step = step;
    outbox_.has_executed = true;
  }
  changed_.notify_all();
}

bool RankLink::is_replaced() const {
  const std::scoped_lock guard(mutex_);
  return is_replaced_;
}

std::string RankLink::refusal() const {
  const std::scoped_lock guard(mutex_);
  return refusal_;
}

std::vector<std::string> RankLink::take_notes() {
  const std::scoped_lock guard(mutex_);
  return std::exchange(notes_, {});
}

}  // namespace hetmoe
