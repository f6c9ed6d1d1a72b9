#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

/// What `RUN_DIR/exit.json` says.
struct RunEnd {
  int code = 0;
  std::string reason;
};

/// What is known of a run beside what its coordinator says.
struct RunSurroundings {
  std::int64_t steps = 0;       ///< that the run is to take; 0: not known
  double wall_seconds_now = 0;  ///< since 1970
  std::optional<RunEnd> end;    ///< nothing: it goes on, or nobody knows
};

/// A run's state as a block for people, then a line per rank. Of more than `kTableRanks` ranks only
/// those that are silent, absent or behind and the slowest few, up to that many lines, and a line
/// that says how many more there are. ASCII; what ranks have sent is cut and freed of control
/// characters.
inline constexpr std::size_t kTableRanks = 32;
std::string coordinator_text(const CoordinatorStatus& status, const RunSurroundings& run);

/// All of it as one line of JSON, with "reachable": true. Of "last_step", "committed" and
/// "preparing" a step 0 stands alone: there is none.
std::string coordinator_json(const CoordinatorStatus& status, const RunSurroundings& run);

/// How a run ended, one line: "ended with code 0: done".
std::string run_end_text(const RunEnd& end);

/// The newest lines of a run's files, as they stand there, oldest first.
struct RunTail {
  std::vector<std::string> metrics;  ///< of metrics.jsonl
  std::vector<std::string> events;   ///< of events.jsonl
};

/// What is known of a run whose coordinator does not answer. Lines that are no JSON objects are
/// left out.
std::string run_tail_text(const RunTail& tail, const RunSurroundings& run);

/// As one line of JSON, with "reachable": false.
std::string run_tail_json(const RunTail& tail, const RunSurroundings& run);

}  // namespace hetmoe
