#include "runtime/metrics/events_file.h"

#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "runtime/metrics/utc_time.h"

namespace hetmoe {

std::string_view event_name(Event event) {
  switch (event) {
    case Event::kStarted:
      return "started";
    case Event::kRebalance:
      return "rebalance";
    case Event::kSaveBegun:
      return "save_begun";
    case Event::kSaveCommitted:
      return "save_committed";
    case Event::kSaveFailed:
      return "save_failed";
    case Event::kCommand:
      return "command";
    case Event::kSkippedStep:
      return "skipped_step";
    case Event::kWatchdog:
      return "watchdog";
    case Event::kRankLost:
      return "rank_lost";
    case Event::kStopped:
      return "stopped";
    case Event::kFinished:
      return "finished";
  }
  HETMOE_CHECK(false, "no such event: ", static_cast<int>(event));
  return "";
}

EventsFile::EventsFile(const std::filesystem::path& path, const Clock& clock, int rank,
                       int generation)
    : file_(path), clock_(clock), rank_(rank), generation_(generation) {}

void EventsFile::write(Event event, std::int64_t step, const EventFields& fields) {
  nlohmann::ordered_json line = {{"time", iso8601_utc(clock_.wall_seconds())},
                                 {"generation", generation_},
                                 {"step", step},
                                 {"rank", rank_},
                                 {"event", event_name(event)}};
  for (const auto& [name, value] : fields) {
    HETMOE_CHECK(!line.contains(name), "event field '", name, "' is given twice or is a fixed one");
    std::visit([&line, &key = name](const auto& content) { line[key] = content; }, value);
  }
  file_.append_line(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace hetmoe
