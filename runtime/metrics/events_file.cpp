#include "runtime/metrics/events_file.h"

#include <algorithm>
#include <fstream>
#include <ios>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/check.h"
#include "runtime/metrics/utc_time.h"

namespace hetmoe {
namespace {

/// 0 for what is no whole line, or bears no sensible generation.
int generation_of(const std::string& line) {
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return 0;
  const auto found = json.find("generation");
  if (found == json.end() || !found->is_number_integer()) return 0;
  const auto generation = found->get<std::int64_t>();
  return generation >= 1 && generation <= kLargestGeneration ? static_cast<int>(generation) : 0;
}

}  // namespace

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
    case Event::kSaveSlow:
      return "save_slow";
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

int largest_generation(const std::filesystem::path& events_file) {
  constexpr std::streamoff most_bytes = 1 << 20;
  std::ifstream file(events_file, std::ios::binary | std::ios::ate);
  if (!file) return 0;
  const std::streamoff size = file.tellg();
  const std::streamoff begin = std::max<std::streamoff>(0, size - most_bytes);
  std::string tail(static_cast<std::size_t>(std::max<std::streamoff>(0, size - begin)), '\0');
  file.seekg(begin);
  file.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  tail.resize(static_cast<std::size_t>(file.gcount()));
  int largest = 0;
  std::istringstream lines(tail);
  for (std::string line; std::getline(lines, line);) {
    largest = std::max(largest, generation_of(line));
  }
  return largest;
}

}  // namespace hetmoe
