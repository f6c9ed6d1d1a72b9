// The link's own thread: it alone calls the coordinator, and never while it holds the lock.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <tuple>

#include "core/base/check.h"
#include "runtime/coordinator/limits.h"
#include "runtime/coordinator/rank_link.h"

namespace hetmoe {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr double kFirstRetrySeconds = 0.2;
constexpr double kLongestRetrySeconds = 2;
constexpr double kAskSeconds = 0.02;  // rank 0, while the others are still writing

SteadyClock::duration duration_of(double seconds) {
  return std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(seconds));
}

/// Ranks differ by up to a quarter either way, so that those of a large job that lost their
/// coordinator together do not come back together.
double retry_seconds(int failures, int rank) {
  const double plain =
      std::min(std::ldexp(kFirstRetrySeconds, std::min(failures - 1, 16)), kLongestRetrySeconds);
  constexpr double golden_ratio = 0.6180339887498949;
  const double part = rank * golden_ratio - std::floor(rank * golden_ratio);
  return plain * (0.75 + 0.5 * part);
}

bool is_final(CoordinatorFault fault) {
  switch (fault) {
    case CoordinatorFault::kStale:
    case CoordinatorFault::kInvalid:
    case CoordinatorFault::kUnauthenticated:
      return true;
    case CoordinatorFault::kUnreachable:
    case CoordinatorFault::kNotJoined:
      return false;
  }
  return true;
}

std::string seconds_text(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", seconds);
  return text.data();
}

}  // namespace

void RankLink::run() {
  while (wait_for_turn()) turn(false);
  // The second time if the first found that the coordinator had been started again.
  for (int attempt = 0; attempt < 2 && is_worth_a_try(); ++attempt) {
    if (turn(true)) return;
  }
}

bool RankLink::is_worth_a_try() const {
  const std::scoped_lock guard(mutex_);
  return refusal_.empty() && !has_failed_at_end_;
}

/// Sleeps until there is something to do. False: the end.
bool RankLink::wait_for_turn() {
  std::unique_lock lock(mutex_);
  if (!refusal_.empty()) changed_.wait(lock, [&] { return ends_; });
  changed_.wait_until(lock, next_turn_, [&] {
    const bool has_news = has_urgent_news() || !outbox_.steps.empty();
    return ends_ || (has_news && !is_retrying_);
  });
  return !ends_;
}

bool RankLink::has_urgent_news() const {
  return outbox_.is_new || outbox_.committed || outbox_.has_executed;
}

/// All that there is to say, until something of it fails. A beat comes first: a coordinator that
/// cannot take the rest (its disk is full) shall see at least that this rank lives.
bool RankLink::turn(bool is_last) {
  try {
    if (!is_joined_) join();
    const bool is_due = is_last || SteadyClock::now() >= next_beat_;
    bool has_executed = false;
    {
      const std::scoped_lock guard(mutex_);
      has_executed = outbox_.has_executed;
    }
    if (is_due || has_executed) beat();
    send_committed();
    ask_about_prepared(is_due);
    const double flush_seconds = coordinator_limits::kCallSeconds;
    send_steps(is_last ? SteadyClock::now() + duration_of(flush_seconds) : next_beat_, is_last);
  } catch (const CoordinatorError& error) {
    take_failure(error);
    return false;
  } catch (const std::exception& error) {
    take_failure({CoordinatorFault::kUnreachable, describe(error)});
    return false;
  }
  const std::scoped_lock guard(mutex_);
  failures_ = 0;
  is_retrying_ = false;
  const bool asks_soon = must_ask_ && identity_.member.rank == 0;
  next_turn_ = asks_soon ? std::min(next_beat_, next_ask_) : next_beat_;
  note_again();
  return true;
}

void RankLink::join() {
  identity_.member.generation = coordinator_.join(identity_).generation;
  heard();
  next_beat_ = SteadyClock::now();
  is_joined_ = true;
  {
    const std::scoped_lock guard(mutex_);
    beat_.member = identity_.member;
    has_joined_ = true;
    // A coordinator that was started again knows nothing of it, and other ranks may wait for it.
    must_ask_ = outbox_.prepared.has_value();
    outbox_.is_new = must_ask_;
  }
  changed_.notify_all();
}

void RankLink::beat() {
  Heartbeat heartbeat;
  {
    const std::scoped_lock guard(mutex_);
    heartbeat = beat_;
  }
  if (collective_) {
    std::tie(heartbeat.collective_sequence, heartbeat.collective) = collective_();
  }
  const HeartbeatReply reply = coordinator_.heartbeat(heartbeat);
  heard();
  next_beat_ = SteadyClock::now() + duration_of(settings_.beat_seconds);
  const std::scoped_lock guard(mutex_);
  outbox_.has_executed = beat_.executed_command != heartbeat.executed_command;
  for (const AcceptedCommand& command : reply.commands) {
    if (command.number <= newest_given_) continue;
    commands_.push_back(command);
    newest_given_ = command.number;
  }
}

void RankLink::send_committed() {
  std::optional<CommittedCheckpoint> checkpoint;
  {
    const std::scoped_lock guard(mutex_);
    checkpoint = outbox_.committed;
  }
  if (!checkpoint) return;
  checkpoint->member = identity_.member;
  coordinator_.commit_checkpoint(*checkpoint);
  heard();
  const std::scoped_lock guard(mutex_);
  if (outbox_.committed && outbox_.committed->step == checkpoint->step) outbox_.committed.reset();
}

/// Once at once, then with every beat until it is agreed; rank 0 more often, since it commits.
void RankLink::ask_about_prepared(bool is_due) {
  PreparedShard shard;
  std::int64_t number = 0;
  {
    const std::scoped_lock guard(mutex_);
    const bool is_time = identity_.member.rank == 0 && SteadyClock::now() >= next_ask_;
    if (!must_ask_ || !(is_due || outbox_.is_new || is_time)) return;
    shard = *outbox_.prepared;
    number = prepared_number_;
  }
  shard.member = identity_.member;
  PrepareReply reply;
  try {
    reply = coordinator_.prepare_checkpoint(shard);
  } catch (const CoordinatorError& error) {
    const std::scoped_lock guard(mutex_);
    // What nobody asks any more: the others may have gone on to the next checkpoint meanwhile.
    if (error.fault() != CoordinatorFault::kInvalid || number == prepared_number_) throw;
    return;
  }
  heard();
  next_ask_ = SteadyClock::now() + duration_of(kAskSeconds);
  const std::scoped_lock guard(mutex_);
  if (number != prepared_number_) return;
  outbox_.is_new = false;
  if (!reply.agreed) return;
  agreed_ = true;
  must_ask_ = false;
}

/// In order, one by one, as long as nothing else is to be said.
void RankLink::send_steps(Time until, bool is_last) {
  do {
    StepReport report;
    {
      const std::scoped_lock guard(mutex_);
      if (outbox_.steps.empty()) return;
      if (!is_last && (ends_ || has_urgent_news())) return;
      report = outbox_.steps.front();
    }
    report.member = identity_.member;
    coordinator_.report_step(report);
    heard();
    const std::scoped_lock guard(mutex_);
    // Unless it has had to make room in the meantime.
    const bool is_front =
        !outbox_.steps.empty() && outbox_.steps.front().record.step == report.record.step;
    if (is_front) outbox_.steps.pop_front();
  } while (SteadyClock::now() < until);
}

void RankLink::heard() {
  const std::scoped_lock guard(mutex_);
  last_heard_seconds_ = clock_.monotonic_seconds();
}

void RankLink::take_failure(const CoordinatorError& error) {
  ++failures_;
  if (error.fault() == CoordinatorFault::kNotJoined) is_joined_ = false;
  {
    const std::scoped_lock guard(mutex_);
    fault_ = error;
    has_failed_at_end_ = ends_ && error.fault() != CoordinatorFault::kNotJoined;
    if (is_final(error.fault())) {
      refusal_ = error.what();
      is_replaced_ = error.fault() == CoordinatorFault::kStale;
      notes_.push_back("the coordinator refuses this rank: " + refusal_);
    } else if (error.fault() != CoordinatorFault::kNotJoined) {
      note_away(error.what());
    }
    is_retrying_ = true;
    next_turn_ = SteadyClock::now() + duration_of(retry_seconds(failures_, beat_.member.rank));
  }
  changed_.notify_all();
}

void RankLink::note_away(const std::string& why) {
  if (away_since_seconds_) return;
  away_since_seconds_ = clock_.monotonic_seconds();
  notes_.push_back("coordinator away, training goes on: " + why);
}

void RankLink::note_again() {
  if (!away_since_seconds_) return;
  const double away = clock_.monotonic_seconds() - *away_since_seconds_;
  std::string note = "coordinator there again after " + seconds_text(away);
  if (const std::int64_t lost = std::exchange(outbox_.lost_steps, 0); lost > 0) {
    note += detail::concatenate("; the oldest ", lost, " step reports were dropped");
  }
  notes_.push_back(std::move(note));
  away_since_seconds_.reset();
}

}  // namespace hetmoe
