#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "runtime/report/chart/colour.h"
#include "runtime/report/chart/filled_rows.h"
#include "runtime/report/chart/line_chart.h"
#include "runtime/report/page/sections.h"
#include "runtime/report/page/series.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

constexpr std::size_t kMostRows = 40;

Html memory_figure(const RunStory& story) {
  if (!has_any(story, &StoryStep::memory_bytes)) return "";
  return figure(
      {.title = "Memory",
       .note = "Largest resident size of any rank so far.",
       .picture = line_chart_svg(
           {.name = "Memory by step",
            .x = step_axis(),
            .y = axis_from_zero("largest rank", Quantity::kBytes),
            .series = {{"memory", category_class(0), points_of(story, &StoryStep::memory_bytes)}},
            .marks = marks_of(story)})});
}

struct TimePart {
  std::string name;
  double seconds = 0;
  std::string colour;
};

double finite_sum(const auto& items, auto member) {
  double sum = 0;
  for (const auto& item : items) {
    if (std::isfinite(item.*member)) sum += item.*member;
  }
  return sum;
}

std::vector<TimePart> time_parts(const RunStory& story) {
  const RunHistory& history = story.history;
  std::vector<TimePart> parts = {
      {"steps that count", history.productive_seconds, category_class(2)},
      {"steps trained again after a restart", story.repeated_seconds, category_class(1)},
      {"training waited for a save", finite_sum(story.saves, &StorySave::blocked_seconds),
       category_class(0)},
      {"slices moved", finite_sum(story.rebalances, &StoryRebalance::moving_seconds),
       category_class(4)}};
  double told = 0;
  for (const TimePart& part : parts) told += part.seconds;
  parts.push_back({"the rest: starts, evaluation, waiting for a restart",
                   std::max(0.0, history.wall_seconds - told), category_class(8)});
  return parts;
}

Html time_figure(const RunStory& story) {
  if (!(story.history.wall_seconds > 0) || !(story.history.productive_seconds > 0)) return "";
  FilledRows chart{.name = "Where the wall time went",
                   .x = axis_from_zero("wall time", Quantity::kSeconds),
                   .rows = {{.name = "run"}},
                   .row_height = 26};
  Figure shown{.title = "Where the wall time went"};
  for (const TimePart& part : time_parts(story)) {
    if (!(part.seconds > 0)) continue;
    const std::string text = part.name + ": " + time_text(part.seconds);
    chart.rows.front().parts.push_back({part.seconds, part.colour, text, ""});
    shown.legend.push_back({part.colour, text});
  }
  if (const auto ratio = story.history.effective_time_ratio())
    shown.note = "Effective training time: " + share_text(*ratio) + " of " +
                 time_text(story.history.wall_seconds) + ".";
  if (const auto interval = story.history.best_save_interval_seconds())
    shown.note += " By what saves cost and failures came, saving every " + time_text(*interval) +
                  " loses least.";
  shown.picture = filled_rows_svg(chart);
  return figure(shown);
}

Html saves_part(const RunStory& story) {
  HtmlTable shown{.columns = {"step", "committed (UTC)", "bytes", "training waited", "took"}};
  const std::size_t first = story.saves.size() - std::min(story.saves.size(), kMostRows);
  for (std::size_t i = first; i < story.saves.size(); ++i) {
    const StorySave& save = story.saves[i];
    shown.rows.push_back({std::to_string(save.step), clock_text(save.time), size_text(save.bytes),
                          seconds_text(save.blocked_seconds), seconds_text(save.seconds)});
  }
  if (shown.rows.empty()) return "";
  std::string words = std::to_string(story.saves.size()) + " committed, training waited " +
                      seconds_text(story.history.save_seconds) + " for one in the mean.";
  if (first > 0) words += " The last " + std::to_string(kMostRows) + ":";
  return section("Checkpoints", paragraph(words) + table(shown));
}

Html starts_part(const RunStory& story) {
  HtmlTable shown{
      .columns = {"start", "end", "began (UTC)", "lasted", "ranks", "from step", "to step"},
      .text_columns = 2};
  const std::size_t first = story.starts.size() - std::min(story.starts.size(), kMostRows);
  for (std::size_t i = first; i < story.starts.size(); ++i) {
    const StoryStart& start = story.starts[i];
    const bool is_last = i + 1 == story.starts.size();
    const std::string end = !start.end.empty() ? start.end
                            : is_last          ? std::string(run_state_name(story.state))
                                               : "lost without a word";
    const double until =
        is_last && story.state == RunState::kRunning ? story.end_time : start.end_time;
    shown.rows.push_back(
        {std::to_string(start.generation), end, clock_text(start.time),
         time_text(until - start.time), start.ranks > 0 ? std::to_string(start.ranks) : "-",
         std::to_string(start.first_step),
         start.last_step >= start.first_step ? std::to_string(start.last_step) : "-"});
  }
  std::string words = std::to_string(story.history.starts) + " starts, " +
                      std::to_string(story.history.failures) + " of them lost; " +
                      std::to_string(story.repeated_steps) + " steps trained again, " +
                      time_text(story.repeated_seconds) + ".";
  return section("Starts",
                 story.starts.size() < 2 ? table(shown) : paragraph(words) + table(shown));
}

Html incidents_part(const RunStory& story) {
  HtmlTable shown{.columns = {"event", "details", "step", "start", "time (UTC)"},
                  .text_columns = 2};
  for (const StoryIncident& incident : story.incidents)
    shown.rows.push_back({incident.event, incident.details, std::to_string(incident.step),
                          std::to_string(incident.generation), clock_text(incident.time)});
  if (shown.rows.empty()) return "";
  Html words;
  if (story.incidents.size() < story.num_incidents)
    words = paragraph("The last " + std::to_string(story.incidents.size()) + " of " +
                      std::to_string(story.num_incidents) + ".");
  return section("Incidents and commands", words + table(shown));
}

}  // namespace

Html operation_part(const RunStory& story) {
  return section("Operation", side_by_side(time_figure(story) + memory_figure(story))) +
         starts_part(story) + saves_part(story) + incidents_part(story);
}

Html configuration_part(const RunStory& story) {
  HtmlTable shown{.columns = {"key", "value"}, .text_columns = 2};
  for (const auto& [key, value] : story.config) shown.rows.push_back({key, value});
  return folded("Configuration, resolved", table(shown));
}

}  // namespace hetmoe
