#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "runtime/metrics/run_directory.h"

namespace hetmoe {

/// What all generations of a run have come to, from its metrics and events.
struct RunHistory {
  int starts = 0;
  int failures = 0;               ///< generations that neither finished nor stopped, but the last
  double productive_seconds = 0;  ///< of every step that counts: its last line
  double wall_seconds = 0;        ///< since the first start
  int saves = 0;                  ///< committed
  double save_seconds = 0;        ///< that training waited for a save, on average

  /// Productive over wall time; nothing before the first step.
  std::optional<double> effective_time_ratio() const;

  /// The interval between saves that loses least, by what saves cost and failures came so far:
  /// T = s + sqrt(2 f s + s^2) for a save of s seconds and a failure every f (arXiv 2410.18124,
  /// without the time to recover). Nothing without failures, or where saves cost nothing.
  std::optional<double> best_save_interval_seconds() const;
};

/// Steps after `newest_step` do not count as productive: they are to be done again. Lines that are
/// torn or not ours are left out; files that cannot be read count as empty.
/// Blocking: the disk; reads both files whole.
RunHistory read_run_history(const RunDirectory& directory, double wall_seconds_now,
                            std::int64_t newest_step = std::numeric_limits<std::int64_t>::max());

}  // namespace hetmoe
