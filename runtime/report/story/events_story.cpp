#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "runtime/metrics/utc_time.h"
#include "runtime/report/story/line_file.h"
#include "runtime/report/story/story_parts.h"

namespace hetmoe {
namespace {

constexpr std::size_t kKeptIncidents = 100;
constexpr int kMostRanks = 1 << 20;

double time_of(const JsonLine& line) {
  return seconds_of_iso8601(line.text("time")).value_or(kUnknown);
}

int generation_of(const JsonLine& line) {
  return static_cast<int>(line.integer("generation", 0) % 1'000'000'007);
}

StoryStart start_of(const JsonLine& line) {
  StoryStart start;
  start.generation = generation_of(line);
  start.time = start.end_time = time_of(line);
  start.first_step = line.integer("step", 0) + 1;
  start.ranks = static_cast<int>(std::min<std::int64_t>(line.integer("ranks", 0), kMostRanks));
  start.precision = line.text("precision");
  return start;
}

void add_moved(RunStory& story, const JsonLine& line) {
  story.rebalances.push_back(
      {.step = line.integer("step", 0),
       .predicted_gain_seconds = line.number("predicted_gain_seconds"),
       .planning_seconds = line.number("planning_seconds"),
       .moving_seconds = line.number("moving_seconds"),
       .moving_bytes = line.number("moving_bytes"),
       .flops_max_over_mean_before = line.number("flops_max_over_mean_before"),
       .flops_max_over_mean_after = line.number("flops_max_over_mean_after")});
}

/// A start from a checkpoint goes on with the placement that was saved: moves since then are
/// undone.
void drop_undone(RunStory& story) {
  const std::int64_t first_step = story.starts.back().first_step;
  std::erase_if(story.rebalances, [first_step](const StoryRebalance& rebalance) {
    return rebalance.step >= first_step;
  });
}

void add_gain(RunStory& story, const JsonLine& line) {
  const std::int64_t moved = line.integer("moved_after_step", -1);
  const auto found =
      std::find_if(story.rebalances.rbegin(), story.rebalances.rend(),
                   [&](const StoryRebalance& rebalance) { return rebalance.step == moved; });
  if (found == story.rebalances.rend()) return;
  found->measured_gain_seconds = line.number("measured_gain_seconds");
  found->measured_steps = line.number("measured_steps");
}

void add_save(RunStory& story, const JsonLine& line) {
  story.saves.push_back({.step = line.integer("step", 0),
                         .time = time_of(line),
                         .bytes = line.number("bytes"),
                         .seconds = line.number("seconds"),
                         .blocked_seconds = line.number("blocked_seconds")});
}

bool is_incident(std::string_view event) {
  constexpr std::array<std::string_view, 7> kIncidents = {
      "save_failed", "save_slow", "command", "skipped_step", "watchdog", "rank_lost", "stopped"};
  return std::find(kIncidents.begin(), kIncidents.end(), event) != kIncidents.end();
}

void add_incident(RunStory& story, const JsonLine& line, const std::string& event) {
  ++story.num_incidents;
  if (story.incidents.size() == kKeptIncidents) story.incidents.erase(story.incidents.begin());
  story.incidents.push_back({.time = time_of(line),
                             .generation = generation_of(line),
                             .step = line.integer("step", 0),
                             .event = event,
                             .details = line.details()});
}

/// Events of a generation after its start tell how long it lived, and some how it ended.
void note_end(RunStory& story, const JsonLine& line, const std::string& event) {
  const int generation = generation_of(line);
  const auto start =
      std::find_if(story.starts.rbegin(), story.starts.rend(),
                   [&](const StoryStart& known) { return known.generation == generation; });
  if (start == story.starts.rend()) return;
  const double time = time_of(line);
  if (time > start->end_time) start->end_time = time;
  if (event == "finished") start->end = event;
  if (event == "stopped" || event == "rank_lost" || event == "watchdog") {
    const std::string reason = line.text("reason");
    start->end = event + (reason.empty() ? "" : ": " + reason);
  }
}

bool add_event(RunStory& story, const JsonLine& line) {
  const std::string event = line.text("event");
  if (event.empty()) return false;
  if (event == "started") {
    story.starts.push_back(start_of(line));
    drop_undone(story);
  } else if (event == "rebalance") {
    line.text("stage") == "measured" ? add_gain(story, line) : add_moved(story, line);
  } else if (event == "save_committed") {
    add_save(story, line);
  }
  if (is_incident(event)) add_incident(story, line, event);
  note_end(story, line, event);
  return true;
}

}  // namespace

void add_events(RunStory& story, const RunDirectory& directory) {
  const LineFaults faults =
      for_each_object(directory.events_file(),
                      [&](const JsonLine& line, std::streamoff) { return add_event(story, line); });
  std::map<int, std::int64_t> last_steps;
  for (const StoryStep& step : story.steps) last_steps[step.generation] = step.step;
  for (StoryStart& start : story.starts) {
    const auto last = last_steps.find(start.generation);
    if (last != last_steps.end()) start.last_step = last->second;
  }
  for (std::string& text : faults.texts("events.jsonl"))
    story.passed_over.push_back(std::move(text));
}

}  // namespace hetmoe
