#include "parallel/communicator/local_group.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {

LocalGroup::LocalGroup(std::shared_ptr<LocalJob> job, std::vector<int> members)
    : job_(std::move(job)), members_(std::move(members)) {}

std::shared_ptr<LocalMeeting> LocalGroup::join(int rank, std::int64_t sequence,
                                               LocalContribution contribution) {
  std::shared_ptr<LocalMeeting> meeting;
  {
    const std::scoped_lock guard(job_->mutex);
    std::shared_ptr<LocalMeeting>& slot = open_[sequence];
    if (!slot) {
      slot = std::make_shared<LocalMeeting>();
      slot->sequence = sequence;
      slot->by_rank.resize(members_.size());
    }
    meeting = slot;
    meeting->by_rank[static_cast<std::size_t>(rank)] = std::move(contribution);
    if (++meeting->arrived < size() || job_->failed_rank >= 0) return meeting;
    meeting->state = LocalMeeting::State::kMoving;
    open_.erase(sequence);
  }
  move(*meeting);  // without the lock: other meetings go on
  {
    const std::scoped_lock guard(job_->mutex);
    meeting->state = LocalMeeting::State::kDone;
  }
  job_->changed.notify_all();
  return meeting;
}

void LocalGroup::move(LocalMeeting& meeting) {
  meeting.mismatch = find_mismatch(meeting);
  if (!meeting.mismatch.empty()) return;
  if (std::string_view(meeting.by_rank[0]->operation) == "split") return make_parts(meeting);
  move_contributions(meeting);
}

void LocalGroup::make_parts(LocalMeeting& meeting) {
  std::vector<int> order(members_.size());
  std::iota(order.begin(), order.end(), 0);
  const auto contribution = [&](int rank) -> const LocalContribution& {
    return *meeting.by_rank[static_cast<std::size_t>(rank)];
  };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return std::pair(contribution(a).color, contribution(a).key) <
           std::pair(contribution(b).color, contribution(b).key);
  });
  meeting.parts.resize(members_.size());
  for (auto begin = order.begin(); begin != order.end();) {
    const int color = contribution(*begin).color;
    const auto end = std::find_if(begin, order.end(),
                                  [&](int rank) { return contribution(rank).color != color; });
    std::vector<int> members;
    for (auto it = begin; it != end; ++it) members.push_back(world_rank(*it));
    const auto group = std::make_shared<LocalGroup>(job_, std::move(members));
    for (auto it = begin; it != end; ++it)
      meeting.parts[static_cast<std::size_t>(*it)] = {group, static_cast<int>(it - begin)};
    begin = end;
  }
}

std::optional<int> LocalGroup::missing_rank_that_left(const LocalMeeting& meeting) const {
  for (int rank = 0; rank < static_cast<int>(members_.size()); ++rank)
    if (!meeting.by_rank[static_cast<std::size_t>(rank)] &&
        job_->left[static_cast<std::size_t>(world_rank(rank))])
      return world_rank(rank);
  return std::nullopt;
}

void LocalGroup::wait(const LocalMeeting& meeting) {
  std::unique_lock guard(job_->mutex);
  const auto done = [&] { return meeting.state == LocalMeeting::State::kDone; };
  const auto hopeless = [&] {
    return meeting.state == LocalMeeting::State::kGathering &&
           (job_->failed_rank >= 0 || missing_rank_that_left(meeting));
  };
  job_->changed.wait(guard, [&] { return done() || hopeless(); });
  if (done()) {
    if (meeting.mismatch.empty()) return;
    throw CommunicationError(detail::concatenate("operation ", meeting.sequence, " of a group of ",
                                                 size(), " does not match: ", meeting.mismatch));
  }
  if (job_->failed_rank >= 0)
    throw CommunicationError(
        detail::concatenate("peer rank ", job_->failed_rank, " failed: ", job_->failure));
  throw CommunicationError(detail::concatenate("peer rank ", *missing_rank_that_left(meeting),
                                               " ended without joining operation ",
                                               meeting.sequence, " of a group of ", size()));
}

bool LocalGroup::done(const LocalMeeting& meeting) {
  const std::scoped_lock guard(job_->mutex);
  return meeting.state == LocalMeeting::State::kDone || job_->failed_rank >= 0 ||
         missing_rank_that_left(meeting).has_value();
}

void LocalGroup::withdraw(int rank, LocalMeeting& meeting) {
  std::unique_lock guard(job_->mutex);
  job_->changed.wait(guard, [&] { return meeting.state != LocalMeeting::State::kMoving; });
  if (meeting.state == LocalMeeting::State::kDone) return;
  meeting.by_rank[static_cast<std::size_t>(rank)].reset();
  --meeting.arrived;
}

}  // namespace hetmoe
