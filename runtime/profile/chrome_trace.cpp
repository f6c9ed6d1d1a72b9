#include <nlohmann/json.hpp>

#include "runtime/profile/step_profile.h"

namespace hetmoe {
namespace {

constexpr double kMicroseconds = 1e6;

/// A complete event; Chrome nests those that lie within others.
nlohmann::json event(const std::string& name, const char* category, double begin, double end,
                     int rank) {
  return {{"name", name},
          {"cat", category},
          {"ph", "X"},
          {"ts", begin * kMicroseconds},
          {"dur", (end - begin) * kMicroseconds},
          {"pid", rank},
          {"tid", 0}};
}

}  // namespace

std::string chrome_trace(const std::vector<RecordedStep>& recorded, const ProfileSubject& subject) {
  nlohmann::json events = nlohmann::json::array();
  events.push_back({{"name", "process_name"},
                    {"ph", "M"},
                    {"pid", subject.rank},
                    {"args", {{"name", "rank " + std::to_string(subject.rank)}}}});
  for (const RecordedStep& step : recorded) {
    events.push_back(
        event("step " + std::to_string(step.step), "step", step.begin, step.end, subject.rank));
    for (const RecordedPhase& phase : step.phases) {
      events.push_back(event(phase.name, "phase", phase.begin, phase.end, subject.rank));
      for (const RecordedScope& scope : phase.scopes) {
        events.push_back(event(scope.name, "operation", scope.begin, scope.end, subject.rank));
        events.back()["args"] = {{"flops", scope.work.flops}, {"bytes", scope.work.bytes}};
      }
    }
  }
  return nlohmann::json{{"traceEvents", std::move(events)}, {"displayTimeUnit", "ms"}}.dump();
}

}  // namespace hetmoe
