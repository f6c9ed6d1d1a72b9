#include "runtime/report/story/read_story.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <fstream>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>

#include "core/base/error.h"
#include "runtime/metrics/lock_holder.h"
#include "runtime/report/quantity_text.h"
#include "runtime/report/story/story_parts.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

/// Ten times the silence after which another run would take the folder over.
constexpr double kSilenceSeconds = 600;

std::optional<LockHolder> holder_of(const fs::path& lock_file) {
  std::error_code failure;
  if (!fs::is_regular_file(lock_file, failure)) return {};
  std::ifstream file(lock_file, std::ios::binary);
  std::string text(kLongestLockBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return read_lock_holder(text);
}

/// Seconds since the lock was refreshed; 0 when unknown.
double silence_of(const fs::path& lock_file) {
  std::error_code failure;
  const auto written = fs::last_write_time(lock_file, failure);
  if (failure) return 0;
  return std::chrono::duration<double>(fs::file_time_type::clock::now() - written).count();
}

std::pair<RunState, std::string> state_without_end(const RunDirectory& directory) {
  const std::optional<LockHolder> holder = holder_of(directory.lock_file());
  if (!holder) return {RunState::kLost, "it left no exit.json and holds no lock"};
  LockHolder self = this_process();
  self.slurm_job.clear();  // whether the job may take over is not the question
  self.launch_id.clear();
  if (reason_to_take_over(*holder, self))
    return {RunState::kLost, holder->text() + " is gone and left no exit.json"};
  const double silence = silence_of(directory.lock_file());
  if (silence > kSilenceSeconds)
    return {RunState::kLost, holder->text() + " has been silent for " + duration_text(silence)};
  return {RunState::kRunning, holder->text()};
}

std::pair<RunState, std::string> state_of(const RunDirectory& directory,
                                          const std::optional<StoryEnd>& end) {
  if (!end) return state_without_end(directory);
  const auto code = static_cast<ExitCode>(end->code);
  const std::string number = "code " + std::to_string(end->code);
  const bool says_more = !end->reason.empty() && end->reason != "finished";
  const std::string reason = says_more ? end->reason + " (" + number + ")" : number;
  if (code == ExitCode::kDone) return {RunState::kFinished, reason};
  const bool is_stopped = code == ExitCode::kStoppedBySignal || code == ExitCode::kDoNotRunAgain;
  return {is_stopped ? RunState::kStopped : RunState::kFailed, reason};
}

/// What is known of when a run ended that nobody has seen end: its last event, or the steps that it
/// has taken since its last start.
double last_sign_of(const RunStory& story) {
  double last = kUnknown;
  for (const StoryStart& start : story.starts) last = std::fmax(last, start.end_time);
  if (story.starts.empty()) return last;
  const StoryStart& start = story.starts.back();
  double trained = 0;
  for (const StoryStep& step : story.steps) {
    if (step.generation == start.generation && std::isfinite(step.step_seconds))
      trained += step.step_seconds;
  }
  return std::fmax(last, start.time + trained);
}

}  // namespace

std::string_view run_state_name(RunState state) {
  switch (state) {
    case RunState::kRunning:
      return "running";
    case RunState::kFinished:
      return "finished";
    case RunState::kStopped:
      return "stopped";
    case RunState::kFailed:
      return "failed";
    case RunState::kLost:
      break;
  }
  return "lost";
}

std::string RunStory::config_value(std::string_view key) const {
  for (const auto& [known, value] : config) {
    if (known == key) return value;
  }
  return "";
}

int RunStory::ranks() const {
  for (auto start = starts.rbegin(); start != starts.rend(); ++start) {
    if (start->ranks > 0) return start->ranks;
  }
  int most = 0;
  if (!plan) return most;
  for (const LayerPlacement& layer : plan->placement.layers) {
    for (const PlacedSlice& slice : layer.slices) most = std::max(most, slice.rank + 1);
  }
  return most;
}

std::string run_directory_name(const fs::path& path) {
  std::error_code ignored;
  fs::path whole = fs::absolute(path, ignored).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  const std::string name = whole.filename().string();
  return name.empty() ? path.string() : name;
}

bool is_run_directory(const fs::path& path) {
  constexpr std::array kFiles = {"metrics.jsonl", "events.jsonl", "config.yaml",
                                 "plan.json",     "exit.json",    "checkpoints"};
  return std::any_of(kFiles.begin(), kFiles.end(), [&](const char* name) {
    std::error_code ignored;
    return fs::exists(path / name, ignored);
  });
}

RunStory read_run_story(const fs::path& path, const std::optional<StoryEnd>& end,
                        double wall_seconds_now) {
  const RunDirectory directory = RunDirectory::open(path);
  RunStory story;
  story.name = run_directory_name(path);
  std::tie(story.state, story.state_reason) = state_of(directory, end);
  add_metrics(story, directory);
  add_events(story, directory);
  add_config(story, directory);
  add_plan(story, directory);
  story.end_time = story.state == RunState::kRunning ? wall_seconds_now : last_sign_of(story);
  story.history = read_run_history(
      directory, std::isfinite(story.end_time) ? story.end_time : wall_seconds_now);
  return story;
}

}  // namespace hetmoe
