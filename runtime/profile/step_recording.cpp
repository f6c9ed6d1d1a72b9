#include "runtime/profile/step_recording.h"

#include <utility>

#include "core/base/check.h"

namespace hetmoe {

void StepRecording::begin_step(std::int64_t step) {
  HETMOE_CHECK(operation_listener == nullptr, "somebody listens to this thread already");
  steps_.push_back({.step = step, .begin = now(), .end = 0, .phases = {}});
  phase_ = {.name = "", .begin = steps_.back().begin, .end = 0, .scopes = {}};
  operation_listener = this;
}

void StepRecording::end_step() {
  stop_listening();
  steps_.back().end = now();
}

void StepRecording::begin(const char* name, Work work) {
  open_.push_back(phase_.scopes.size());
  phase_.scopes.push_back({.name = name,
                           .depth = static_cast<int>(open_.size()) - 1,
                           .begin = now(),
                           .end = 0,
                           .inner_seconds = 0,
                           .work = work});
}

void StepRecording::end() {
  HETMOE_CHECK(!open_.empty(), "an operation that did not begin has ended");
  RecordedScope& scope = phase_.scopes[open_.back()];
  scope.end = now();
  open_.pop_back();
  if (!open_.empty()) phase_.scopes[open_.back()].inner_seconds += scope.end - scope.begin;
}

void StepRecording::phase_ended(const char* name) {
  HETMOE_CHECK(open_.empty(), "phase ", name, " ends within ", phase_.scopes[open_.back()].name);
  phase_.name = name;
  phase_.end = now();
  const double next_begin = phase_.end;
  steps_.back().phases.push_back(std::exchange(phase_, {}));
  phase_.begin = next_begin;
}

void StepRecording::stop_listening() {
  if (operation_listener == this) operation_listener = nullptr;
}

}  // namespace hetmoe
