#pragma once

#include <optional>

#include "parallel/communicator/collective_log.h"

namespace hetmoe {

/// How long a rank may wait for one collective. 0: for ever.
struct CollectiveDeadlines {
  double first_seconds = 0;  ///< until the first step has ended: ranks start at their own pace
  double seconds = 0;        ///< from then on

  /// Of those that are set; 0: neither is.
  double shortest_seconds() const;
};

struct ExpiredWait {
  CollectiveRecord record;
  double waited_seconds = 0;
  double deadline_seconds = 0;
  bool first = false;  ///< it was the deadline for the first step
};

/// Tells when a rank has waited too long. Time during which nobody looked is not counted beyond a
/// quarter of the shortest deadline, at most 5 s: a job that was stopped as a whole and continued
/// (Ctrl-Z, a suspended Slurm job) has not waited. Threads: one.
class DeadlineCheck {
 public:
  /// `log` must outlive this.
  DeadlineCheck(const CollectiveLog& log, const CollectiveDeadlines& deadlines);

  /// To be called every second, and more often where a deadline is shorter than ten.
  std::optional<ExpiredWait> look();

 private:
  const CollectiveLog& log_;
  CollectiveDeadlines deadlines_;
  double longest_gap_seconds_;
  double last_look_seconds_;
  double counted_seconds_ = 0;  ///< since the beginning
  std::int64_t waits_for_ = 0;
  double wait_began_seconds_ = 0;  ///< in counted seconds
};

}  // namespace hetmoe
