#include <algorithm>
#include <limits>

#include "runtime/coordinator/limits.h"
#include "runtime/coordinator/run_coordinator.h"

namespace hetmoe {
namespace {

bool is_silent(double silent_seconds) {
  return silent_seconds > coordinator_limits::kSilentSeconds;
}

}  // namespace

CoordinatorStatus RunCoordinator::status() {
  const std::scoped_lock guard(mutex_);
  const double now = clock_.monotonic_seconds();
  const JournalState& state = journal_.state();
  CoordinatorStatus status;
  status.run = state.run;
  status.generation = state.generation;
  status.ranks = state.ranks;
  status.uptime_seconds = now - start_seconds_;
  status.last_step = last_step_;
  for (std::size_t rank = 0; rank < seats_.size(); ++rank) {
    RankStatus& member = status.members.emplace_back(seats_[rank].status);
    member.rank = static_cast<int>(rank);
    if (!member.joined) continue;
    member.silent_seconds = now - seats_[rank].last_seen_seconds;
    if (member.takes_part() && is_silent(member.silent_seconds))
      status.silent_ranks.push_back(member.rank);
  }
  status.behind_ranks = behind_ranks(now);
  status.prepared_step = preparation_.step;
  status.prepared_ranks = preparation_.ranks;
  status.committed = state.committed;
  status.committed.member = {};
  const std::size_t listed = std::min(state.commands.size(), coordinator_limits::kListedCommands);
  status.commands.assign(state.commands.end() - static_cast<std::ptrdiff_t>(listed),
                         state.commands.end());
  return status;
}

std::vector<int> RunCoordinator::behind_ranks(double now) const {
  std::int64_t lowest = std::numeric_limits<std::int64_t>::max();
  std::int64_t highest = 0;
  for (const Seat& seat : seats_) {
    if (!seat.has_beaten || !seat.status.takes_part()) continue;
    lowest = std::min(lowest, seat.status.last.collective_sequence);
    highest = std::max(highest, seat.status.last.collective_sequence);
  }
  std::vector<int> behind;
  for (std::size_t rank = 0; rank < seats_.size() && lowest < highest; ++rank) {
    const Seat& seat = seats_[rank];
    if (!seat.has_beaten || !seat.status.takes_part()) continue;
    if (seat.status.last.collective_sequence != lowest) continue;
    const bool stands = seat.beats_at_collective >= kBeatsToStand;
    if (stands || is_silent(now - seat.last_seen_seconds)) behind.push_back(static_cast<int>(rank));
  }
  return behind;
}

}  // namespace hetmoe
