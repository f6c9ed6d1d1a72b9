#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>
#include <numeric>

#include "core/base/median.h"
#include "runtime/report/chart/colour.h"
#include "runtime/report/chart/line_chart.h"
#include "runtime/report/chart/stacked_area.h"
#include "runtime/report/page/sections.h"
#include "runtime/report/page/series.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

/// Of one rank; 0: not configured.
double peak_flops(const RunStory& story) {
  const double peak = std::strtod(story.config_value("metrics.peak_flops").c_str(), nullptr);
  return std::isfinite(peak) ? std::max(peak, 0.0) : 0;
}

Html tokens_figure(const RunStory& story) {
  if (!has_any(story, &StoryStep::tokens_per_second)) return "";
  return figure({.title = "Tokens per second",
                 .picture = line_chart_svg(
                     {.name = "Tokens per second by step",
                      .x = step_axis(),
                      .y = axis_from_zero("tokens/s, all ranks"),
                      .series = smoothed("tokens/s", category_class(0),
                                         points_of(story, &StoryStep::tokens_per_second)),
                      .marks = marks_of(story)})});
}

Html utilisation_figure(const RunStory& story) {
  std::vector<Point> points = points_of(story, &StoryStep::model_flops_per_second);
  if (!has_any(story, &StoryStep::model_flops_per_second)) return "";
  const double peak = peak_flops(story);
  const bool is_ratio = peak > 0 && story.ranks() > 0;
  Figure shown{.title = "Model FLOP/s",
               .note = "Of the widths really selected, all ranks, no recomputation."};
  Axis y = axis_from_zero("FLOP/s");
  if (is_ratio) {
    std::map<int, int> ranks_of;
    for (const StoryStart& start : story.starts) ranks_of[start.generation] = start.ranks;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const auto known = ranks_of.find(story.steps[i].generation);
      const int ranks =
          known != ranks_of.end() && known->second > 0 ? known->second : story.ranks();
      points[i].y /= peak * ranks;
    }
    shown.title = "Model FLOPs utilisation (MFU)";
    shown.note = "Model FLOP/s over a peak of " + count_text(peak) + " FLOP/s for each rank.";
    y = axis_from_zero("of the peak", Quantity::kRatio);
  }
  shown.picture =
      line_chart_svg({.name = shown.title + " by step",
                      .x = step_axis(),
                      .y = y,
                      .series = smoothed(is_ratio ? "MFU" : "FLOP/s", category_class(0), points),
                      .marks = marks_of(story)});
  return figure(shown);
}

Html traffic_figure(const RunStory& story) {
  if (!has_any(story, &StoryStep::bytes_all_to_all)) return "";
  return figure({.title = "All-to-all traffic",
                 .note = "Payload to other ranks in a step, forward and backward.",
                 .picture = line_chart_svg(
                     {.name = "All-to-all bytes by step",
                      .x = step_axis(),
                      .y = axis_from_zero("per step", Quantity::kBytes),
                      .series = smoothed("all-to-all", category_class(0),
                                         points_of(story, &StoryStep::bytes_all_to_all)),
                      .marks = marks_of(story)})});
}

std::string words(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

/// The colours of phases: neighbours differ, those that wait are of a kind.
constexpr std::array<int, kPhaseNames.size()> kPhaseColours = {8, 0, 5, 4, 2, 1, 3, 7, 6, 9};

Html phases_figure(const RunStory& story) {
  StackedArea chart{.name = "Time of each phase by step",
                    .x = step_axis(),
                    .y = axis_from_zero("per step", Quantity::kSeconds)};
  Figure shown{.title = "Where a step's time goes",
               .note = "Mean over ranks. Waiting for tokens of others is dispatch and combine."};
  double any = 0;
  for (const StoryStep& step : story.steps) chart.at.push_back(static_cast<double>(step.step));
  for (std::size_t phase = 0; phase < kPhaseNames.size(); ++phase) {
    StackedLayer layer{.name = words(std::string(kPhaseNames[phase])),
                       .colour = category_class(kPhaseColours[phase])};
    for (const StoryStep& step : story.steps) {
      layer.values.push_back(step.phase_seconds[phase]);
      if (step.phase_seconds[phase] > 0) any += step.phase_seconds[phase];
    }
    shown.legend.push_back({layer.colour, layer.name});
    chart.layers.push_back(std::move(layer));
  }
  if (!(any > 0)) return "";
  shown.picture = stacked_area_svg(chart);
  return figure(shown);
}

Html phase_table(const RunStory& story) {
  std::array<double, kPhaseNames.size()> medians{};
  double sum = 0;
  for (std::size_t phase = 0; phase < kPhaseNames.size(); ++phase) {
    std::vector<double> values;
    for (const StoryStep& step : story.steps) {
      if (std::isfinite(step.phase_seconds[phase])) values.push_back(step.phase_seconds[phase]);
    }
    medians[phase] = median(values);
    sum += medians[phase];
  }
  if (!(sum > 0)) return "";
  HtmlTable shown{.columns = {"phase", "median", "share"}};
  for (std::size_t phase = 0; phase < kPhaseNames.size(); ++phase)
    shown.rows.push_back({words(std::string(kPhaseNames[phase])), seconds_text(medians[phase]),
                          share_text(medians[phase] / sum)});
  shown.rows.push_back({"the step", seconds_text(median_of(story, &StoryStep::step_seconds)), ""});
  return folded("Phases as numbers", table(shown));
}

}  // namespace

Html speed_part(const RunStory& story) {
  return section("Speed", side_by_side(tokens_figure(story) + utilisation_figure(story) +
                                       phases_figure(story) + traffic_figure(story)) +
                              phase_table(story));
}

}  // namespace hetmoe
