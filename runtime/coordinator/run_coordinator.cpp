#include "runtime/coordinator/run_coordinator.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <limits>
#include <utility>

#include "core/base/check.h"
#include "runtime/coordinator/limits.h"
#include "runtime/coordinator/request_checks.h"
#include "runtime/metrics/events_file.h"

namespace hetmoe {
namespace {

namespace limits = coordinator_limits;

template <typename... Parts>
[[noreturn]] void refuse(CoordinatorFault fault, const Parts&... parts) {
  throw CoordinatorError(fault, detail::concatenate(parts...));
}

void check_is_rank_0(const char* call, const Member& member) {
  if (member.rank == 0) return;
  refuse(CoordinatorFault::kInvalid, call, " of rank ", member.rank, ", allowed: of rank 0");
}

void check_run(const Member& member, const std::string& run) {
  if (run.empty() || member.run == run) return;
  refuse(CoordinatorFault::kInvalid, "rank ", member.rank, " is of the run ",
         shown_text(member.run), ", this coordinator's is ", shown_text(run));
}

void check_generation(const Member& member, std::int64_t present) {
  if (member.generation >= present) return;
  refuse(CoordinatorFault::kStale, "rank ", member.rank, " is of generation ", member.generation,
         ", generation ", present, " of run ", shown_text(member.run), " has joined since");
}

bool is_held_by_another(const RankStatus& seat, const JoinRequest& request) {
  return seat.joined && (seat.host != request.host || seat.process != request.process);
}

bool is_open(const AcceptedCommand& command) { return command.executed_step == 0; }

/// All that are open, and the newest ones of the others.
void forget_old_commands(std::vector<AcceptedCommand>& commands) {
  auto executed = std::ranges::count_if(commands, std::not_fn(is_open));
  std::erase_if(commands, [&](const AcceptedCommand& command) {
    return !is_open(command) && std::cmp_greater(executed--, limits::kListedCommands);
  });
}

}  // namespace

RunCoordinator::RunCoordinator(const std::filesystem::path& journal, const Clock& clock)
    : clock_(clock),
      journal_(journal),
      start_seconds_(clock.monotonic_seconds()),
      seats_(static_cast<std::size_t>(journal_.state().ranks)) {}

RunCoordinator::~RunCoordinator() = default;

JoinReply RunCoordinator::join(const JoinRequest& request) {
  check_bounds(request);
  const std::scoped_lock guard(mutex_);
  const JournalState& state = journal_.state();
  check_run(request.member, state.run);
  Member member = request.member;
  member.generation = generation_for(request);
  check_generation(member, state.generation);
  if (member.generation > state.generation) begin_generation(member.generation, request);
  if (request.ranks != state.ranks) {
    refuse(CoordinatorFault::kInvalid, "rank ", member.rank, " is of ", request.ranks,
           " ranks, generation ", state.generation, " has ", state.ranks);
  }
  Seat& seat = seats_[static_cast<std::size_t>(member.rank)];
  if (is_held_by_another(seat.status, request)) {
    refuse(CoordinatorFault::kStale, "rank ", member.rank, " of generation ", state.generation,
           " is process ", seat.status.process, " on host ", seat.status.host, ", not process ",
           request.process, " on host ", request.host);
  }
  seat.status.joined = true;
  seat.status.host = request.host;
  seat.status.process = request.process;
  seat.status.metrics_address = request.metrics_address;
  seat.status.metrics_use_tls = request.metrics_use_tls;
  seat.last_seen_seconds = clock_.monotonic_seconds();
  return {member.generation};
}

/// Given: the present one where the rank has a place in it, else the next.
std::int64_t RunCoordinator::generation_for(const JoinRequest& request) const {
  if (request.member.generation > 0) return request.member.generation;
  const JournalState& state = journal_.state();
  const auto rank = static_cast<std::size_t>(request.member.rank);
  const bool has_place = state.generation > 0 && request.ranks == state.ranks &&
                         !is_held_by_another(seats_[rank].status, request);
  if (has_place) return state.generation;
  if (state.generation < kLargestGeneration) return state.generation + 1;
  refuse(CoordinatorFault::kInvalid, "generation ", state.generation, " is the last one allowed");
}

void RunCoordinator::begin_generation(std::int64_t generation, const JoinRequest& request) {
  std::vector<Seat> seats(static_cast<std::size_t>(request.ranks));
  JournalState next = journal_.state();
  next.run = request.member.run;
  next.generation = generation;
  next.ranks = request.ranks;
  journal_.record(next);
  seats_ = std::move(seats);
  preparation_ = {};
}

/// Of who speaks; it has given a sign of life.
RunCoordinator::Seat& RunCoordinator::seat_of(const Member& member) {
  const JournalState& state = journal_.state();
  check_run(member, state.run);
  check_generation(member, state.generation);
  if (member.generation == state.generation && member.rank >= state.ranks) {
    refuse(CoordinatorFault::kInvalid, "rank is ", member.rank, ", allowed: 0 to ",
           state.ranks - 1);
  }
  const auto rank = static_cast<std::size_t>(member.rank);
  if (member.generation > state.generation || !seats_[rank].status.joined) {
    refuse(CoordinatorFault::kNotJoined, "rank ", member.rank, " of generation ", member.generation,
           " has not joined");
  }
  seats_[rank].last_seen_seconds = clock_.monotonic_seconds();
  return seats_[rank];
}

HeartbeatReply RunCoordinator::heartbeat(const Heartbeat& heartbeat) {
  check_bounds(heartbeat);
  const std::scoped_lock guard(mutex_);
  Seat& seat = seat_of(heartbeat.member);
  Heartbeat& last = seat.status.last;
  if (heartbeat.step < last.step) {
    refuse(CoordinatorFault::kInvalid, "heartbeat of rank ", heartbeat.member.rank, ": step is ",
           heartbeat.step, ", allowed: from ", last.step, ", its last one");
  }
  if (heartbeat.executed_command > journal_.state().newest_command) {
    refuse(CoordinatorFault::kInvalid, "heartbeat of rank 0: executed command is ",
           heartbeat.executed_command, ", allowed: up to ", journal_.state().newest_command);
  }
  const bool has_moved = heartbeat.collective_sequence != last.collective_sequence;
  const bool begins = has_moved || !seat.has_beaten;
  seat.beats_at_collective = begins ? 0 : std::min(seat.beats_at_collective + 1, kBeatsToStand);
  seat.has_beaten = true;
  last = heartbeat;
  last.member = {};
  if (heartbeat.member.rank != 0) return {};
  mark_executed(heartbeat.executed_command, heartbeat.executed_step);
  HeartbeatReply reply;
  std::ranges::copy_if(journal_.state().commands, std::back_inserter(reply.commands), is_open);
  return reply;
}

void RunCoordinator::mark_executed(std::int64_t newest, std::int64_t step) {
  JournalState next = journal_.state();
  bool is_news = false;
  for (AcceptedCommand& command : next.commands) {
    if (command.number > newest || !is_open(command)) continue;
    command.executed_step = step;
    is_news = true;
  }
  if (!is_news) return;
  forget_old_commands(next.commands);
  journal_.record(next);
}

void RunCoordinator::report_step(const StepReport& report) {
  check_bounds(report);
  check_is_rank_0("step report", report.member);
  const std::scoped_lock guard(mutex_);
  seat_of(report.member);
  const bool is_first = last_step_.generation != report.member.generation || last_step_.step == 0;
  if (!is_first && report.record.step == last_step_.step) return;
  if (!is_first && report.record.step < last_step_.step) {
    refuse(CoordinatorFault::kInvalid, "step report: step is ", report.record.step,
           ", allowed: from ", last_step_.step, ", the last one");
  }
  last_step_ = report.record;
  last_step_.generation = static_cast<int>(report.member.generation);
}

PrepareReply RunCoordinator::prepare_checkpoint(const PreparedShard& shard) {
  check_bounds(shard);
  const std::scoped_lock guard(mutex_);
  Seat& seat = seat_of(shard.member);
  const int ranks = journal_.state().ranks;
  if (is_committed(shard.step)) return {.agreed = true, .prepared_ranks = ranks};
  prepare(seat, shard);
  return {.agreed = preparation_.ranks == ranks, .prepared_ranks = preparation_.ranks};
}

bool RunCoordinator::is_committed(std::int64_t step) const {
  const CommittedCheckpoint& committed = journal_.state().committed;
  return committed.step == step && committed.member.generation == journal_.state().generation;
}

void RunCoordinator::prepare(Seat& seat, const PreparedShard& shard) {
  const JournalState& state = journal_.state();
  if (state.committed.member.generation == state.generation && shard.step < state.committed.step) {
    refuse(CoordinatorFault::kInvalid, "rank ", shard.member.rank, " has prepared step ",
           shard.step, ", but step ", state.committed.step, " is committed");
  }
  if (shard.step < preparation_.step) {
    refuse(CoordinatorFault::kInvalid, "rank ", shard.member.rank, " has prepared step ",
           shard.step, ", but rank ", preparation_.first_rank, " step ", preparation_.step);
  }
  if (shard.step > preparation_.step) {
    preparation_ = {.step = shard.step,
                    .configuration_digest = shard.configuration_digest,
                    .first_rank = shard.member.rank};
  }
  if (shard.configuration_digest != preparation_.configuration_digest) {
    refuse(CoordinatorFault::kInvalid, "rank ", shard.member.rank, " has prepared step ",
           shard.step, " with configuration ", shown_text(shard.configuration_digest),
           ", but rank ", preparation_.first_rank, " with ",
           shown_text(preparation_.configuration_digest));
  }
  if (seat.prepared_step == shard.step) return;
  seat.prepared_step = shard.step;
  ++preparation_.ranks;
}

void RunCoordinator::commit_checkpoint(const CommittedCheckpoint& checkpoint) {
  check_bounds(checkpoint);
  check_is_rank_0("committed checkpoint", checkpoint.member);
  const std::scoped_lock guard(mutex_);
  seat_of(checkpoint.member);
  if (is_committed(checkpoint.step)) return;
  JournalState next = journal_.state();
  const bool is_same_generation = next.committed.member.generation == next.generation;
  if (is_same_generation && checkpoint.step < next.committed.step) {
    refuse(CoordinatorFault::kInvalid, "committed checkpoint: step is ", checkpoint.step,
           ", allowed: from ", next.committed.step, ", the last one");
  }
  next.committed = checkpoint;
  next.committed.member = {.generation = next.generation};
  journal_.record(next);
  if (preparation_.step <= checkpoint.step) preparation_ = {};
}

AcceptedCommand RunCoordinator::command(CommandKind kind) {
  check_bounds(kind);
  const std::scoped_lock guard(mutex_);
  JournalState next = journal_.state();
  const auto open = std::ranges::count_if(next.commands, is_open);
  const auto same = std::ranges::find_if(next.commands, [&](const AcceptedCommand& command) {
    return is_open(command) && command.kind == kind;
  });
  if (same != next.commands.end()) return *same;
  if (std::cmp_greater_equal(open, limits::kOpenCommands)) {
    refuse(CoordinatorFault::kInvalid, command_name(kind), ": ", open,
           " commands wait to be executed, allowed: up to ", limits::kOpenCommands);
  }
  if (next.newest_command == std::numeric_limits<std::int64_t>::max()) {
    refuse(CoordinatorFault::kInvalid, "command ", next.newest_command, " is the last one allowed");
  }
  next.commands.push_back({.number = ++next.newest_command, .kind = kind});
  journal_.record(next);
  return next.commands.back();
}

}  // namespace hetmoe
