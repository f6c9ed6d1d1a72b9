#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/report/coordinator_text.h"
#include "runtime/report/quantity_text.h"
#include "runtime/report/rank_table.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLongestValue = 100;

/// NaN for what is absent or no number; null stands for a loss that was not finite.
double number(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<double>() : std::nan("");
}

std::string value_text(const Json& value) {
  return plain_text(value.is_string() ? value.get<std::string>()
                                      : value.dump(-1, ' ', true, Json::error_handler_t::replace),
                    kLongestValue);
}

std::string field_text(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? "?" : value_text(*found);
}

std::string metrics_text(const Json& object) {
  const std::string step = "step " + field_text(object, "step");
  if (object.contains("eval_loss")) {
    return step + ", held-out loss " + fixed_text(number(object, "eval_loss"), 4);
  }
  return step + ", loss " + fixed_text(number(object, "loss"), 4) + ", " +
         count_text(number(object, "tokens_per_second")) + " tokens/s, " +
         short_duration_text(number(object, "step_seconds")) + " a step";
}

std::string event_text(const Json& object) {
  static const std::set<std::string> kLeading = {"time", "generation", "step", "rank", "event"};
  std::string text = field_text(object, "time") + " step " + field_text(object, "step") + " " +
                     field_text(object, "event");
  for (const auto& [name, value] : object.items()) {
    if (!kLeading.contains(name)) {
      text += " " + plain_text(name, kLongestValue) + "=" + value_text(value);
    }
  }
  return text;
}

std::string lines_text(const std::vector<std::string>& lines, std::string (*text_of)(const Json&)) {
  std::string text;
  for (const std::string& line : lines) {
    const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (object.is_object()) text += "  " + text_of(object) + "\n";
  }
  return text;
}

}  // namespace

std::string run_tail_text(const RunTail& tail, const RunSurroundings& run) {
  std::string text;
  if (run.end) text += run_end_text(*run.end) + "\n";
  const std::string metrics = lines_text(tail.metrics, metrics_text);
  const std::string events = lines_text(tail.events, event_text);
  if (!metrics.empty()) text += "metrics.jsonl:\n" + metrics;
  if (!events.empty()) text += "events.jsonl:\n" + events;
  return text;
}

}  // namespace hetmoe
