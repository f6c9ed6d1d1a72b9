#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/clock.h"
#include "runtime/metrics/append_file.h"

namespace hetmoe {

/// What can happen to a run; the names are a contract.
enum class Event {
  kStarted,
  kRebalance,
  kSaveBegun,
  kSaveCommitted,
  kSaveFailed,
  kSaveSlow,
  kCommand,
  kSkippedStep,
  kWatchdog,
  kRankLost,
  kStopped,
  kFinished,
};

/// The name as it stands in the file, such as "save_begun".
std::string_view event_name(Event event);

/// Fields of one event beside the fixed ones, in the order given.
using EventFields =
    std::vector<std::pair<std::string, std::variant<bool, std::int64_t, double, std::string>>>;

/// `events.jsonl`: {time, generation, step, rank, event, fields...}, one object per line, appended.
/// `time` is ISO 8601 in UTC with milliseconds. A non-finite number becomes null; bytes that are
/// not UTF-8 are replaced. Errors: StorageError. The clock must outlive the file.
class EventsFile {
 public:
  EventsFile(const std::filesystem::path& path, const Clock& clock, int rank, int generation);

  /// A field must not bear the name of a fixed one.
  void write(Event event, std::int64_t step, const EventFields& fields = {});

 private:
  AppendFile file_;
  const Clock& clock_;
  int rank_;
  int generation_;
};

/// Generations count the starts of a run, from 1; a larger one than this is taken for damage.
inline constexpr int kLargestGeneration = 1'000'000'000;

/// The largest generation that the file's last MiB tells of; 0: none, or no file. Torn and damaged
/// lines are passed over. Never throws for what stands in the file.
int largest_generation(const std::filesystem::path& events_file);

}  // namespace hetmoe
