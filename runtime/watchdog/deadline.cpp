#include "runtime/watchdog/deadline.h"

#include <algorithm>

namespace hetmoe {
namespace {

// A busy machine may put a look off by this much.
constexpr double kLongestGapSeconds = 5;

}  // namespace

double CollectiveDeadlines::shortest_seconds() const {
  if (seconds == 0) return first_seconds;
  if (first_seconds == 0) return seconds;
  return std::min(first_seconds, seconds);
}

DeadlineCheck::DeadlineCheck(const CollectiveLog& log, const CollectiveDeadlines& deadlines)
    : log_(log),
      deadlines_(deadlines),
      longest_gap_seconds_(std::min(kLongestGapSeconds, deadlines.shortest_seconds() / 4)),
      last_look_seconds_(log.clock().monotonic_seconds()) {}

std::optional<ExpiredWait> DeadlineCheck::look() {
  const std::optional<CollectiveRecord> wait = log_.open_wait();
  const double now = log_.clock().monotonic_seconds();
  const double gap = std::clamp(now - last_look_seconds_, 0.0, longest_gap_seconds_);
  last_look_seconds_ = now;
  counted_seconds_ += gap;
  if (!wait) return std::nullopt;
  if (wait->number != waits_for_) {
    waits_for_ = wait->number;
    wait_began_seconds_ = counted_seconds_ - std::clamp(now - wait->wait_began_seconds, 0.0, gap);
  }
  const bool first = log_.steps_begun() <= 1;
  const double deadline = first ? deadlines_.first_seconds : deadlines_.seconds;
  const double waited = counted_seconds_ - wait_began_seconds_;
  if (deadline <= 0 || waited <= deadline) return std::nullopt;
  return ExpiredWait{*wait, waited, deadline, first};
}

}  // namespace hetmoe
