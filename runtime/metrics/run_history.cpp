#include "runtime/metrics/run_history.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <system_error>

#include "runtime/metrics/utc_time.h"

namespace hetmoe {
namespace {

using Json = nlohmann::json;

void for_each_object(const std::filesystem::path& path, const std::function<void(Json&)>& visit) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return;  // a pipe would never end
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_object()) visit(json);
  }
}

template <typename Value>
Value value_or(const Json& json, const char* name, Value fallback) {
  try {
    return json.value(name, fallback);
  } catch (const Json::exception&) {
    return fallback;
  }
}

/// Later lines of a step replace earlier ones.
double productive_seconds(const std::filesystem::path& metrics_file, std::int64_t newest_step) {
  std::map<std::int64_t, double> seconds_of_step;
  for_each_object(metrics_file, [&](const Json& line) {
    if (!line.contains("step_seconds")) return;
    seconds_of_step[value_or<std::int64_t>(line, "step", 0)] = value_or(line, "step_seconds", 0.0);
  });
  double sum = 0;
  for (const auto& [step, seconds] : seconds_of_step) sum += step <= newest_step ? seconds : 0;
  return sum;
}

}  // namespace

std::optional<double> RunHistory::effective_time_ratio() const {
  if (productive_seconds <= 0 || wall_seconds <= 0) return {};
  return std::min(1.0, productive_seconds / wall_seconds);
}

std::optional<double> RunHistory::best_save_interval_seconds() const {
  if (failures == 0 || save_seconds <= 0) return {};
  const double between_failures = wall_seconds / failures;
  return save_seconds +
         std::sqrt(2 * between_failures * save_seconds + save_seconds * save_seconds);
}

RunHistory read_run_history(const RunDirectory& directory, double wall_seconds_now,
                            std::int64_t newest_step) {
  RunHistory history;
  std::optional<double> first_start;
  std::set<int> started, ended;
  for_each_object(directory.events_file(), [&](const Json& line) {
    const auto event = value_or<std::string>(line, "event", "");
    const int generation = value_or(line, "generation", 0);
    if (event == "started") {
      ++history.starts;
      started.insert(generation);
      if (!first_start) first_start = seconds_of_iso8601(value_or<std::string>(line, "time", ""));
    } else if (event == "stopped" || event == "finished") {
      ended.insert(generation);
    } else if (event == "save_committed") {
      ++history.saves;
      history.save_seconds += value_or(line, "blocked_seconds", 0.0);
    }
  });
  if (history.saves > 0) history.save_seconds /= history.saves;
  for (const int generation : started) {
    const bool is_last = generation == *started.rbegin();
    if (!is_last && !ended.contains(generation)) ++history.failures;
  }
  history.productive_seconds = productive_seconds(directory.metrics_file(), newest_step);
  if (first_start) history.wall_seconds = std::max(0.0, wall_seconds_now - *first_start);
  return history;
}

}  // namespace hetmoe
