#include "launcher/rank_lost_event.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/clock.h"
#include "runtime/metrics/events_file.h"
#include "runtime/metrics/run_directory.h"

namespace hetmoe {
namespace {

constexpr std::streamoff kTailBytes = std::streamoff{1} << 20;

struct Recorded {
  int generation = 1;
  std::int64_t step = 0;
};

/// The last line that has ended; a kill may have left half a line behind it.
std::string last_whole_line(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const std::streamoff size = file.tellg();
  const std::streamoff begin = std::max<std::streamoff>(0, size - kTailBytes);
  std::string tail(static_cast<std::size_t>(size - begin), '\0');
  file.seekg(begin);
  file.read(tail.data(), static_cast<std::streamsize>(tail.size()));
  tail.resize(static_cast<std::size_t>(file.gcount()));
  const std::size_t end = tail.rfind('\n');
  if (end == std::string::npos) return {};
  tail.resize(end);
  return tail.substr(tail.rfind('\n') + 1);  // npos + 1 is 0
}

Recorded last_recorded(const std::filesystem::path& metrics) {
  const auto line = nlohmann::json::parse(last_whole_line(metrics), nullptr, false);
  Recorded recorded;
  if (!line.is_object()) return recorded;
  const auto generation = line.value("generation", nlohmann::json());
  const auto step = line.value("step", nlohmann::json());
  if (generation.is_number_integer()) recorded.generation = generation.get<int>();
  if (step.is_number_integer()) recorded.step = step.get<std::int64_t>();
  return recorded;
}

}  // namespace

void record_rank_lost(const std::filesystem::path& run_directory, const Verdict& verdict,
                      int restart) {
  const RunDirectory directory = RunDirectory::open(run_directory);
  std::error_code ignored;
  if (!std::filesystem::exists(directory.events_file(), ignored)) return;
  const Recorded recorded = last_recorded(directory.metrics_file());
  const SystemClock clock;
  EventsFile events(directory.events_file(), clock, verdict.rank, recorded.generation);
  events.write(Event::kRankLost, recorded.step,
               {{"code", static_cast<std::int64_t>(verdict.code)},
                {"reason", verdict.reason},
                {"restart", static_cast<std::int64_t>(restart)}});
}

}  // namespace hetmoe
