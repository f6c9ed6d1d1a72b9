#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <set>

#include "runtime/report/chart/colour.h"
#include "runtime/report/chart/line_chart.h"
#include "runtime/report/chart/svg_text.h"
#include "runtime/report/page/sections.h"
#include "runtime/report/page/series.h"

namespace hetmoe {
namespace {

using Stories = std::vector<RunStory>;

/// Names of folders; those that are the same get a number.
std::vector<std::string> names_of(const Stories& stories) {
  std::vector<std::string> names;
  std::map<std::string, int> times;
  for (const RunStory& story : stories) {
    const int before = times[story.name]++;
    names.push_back(before == 0 ? story.name
                                : story.name + " (" + std::to_string(before + 1) + ")");
  }
  return names;
}

/// A run with its own colour in the charts.
struct DrawnRun {
  const RunStory* story = nullptr;
  std::string name;
};
using DrawnRuns = std::vector<DrawnRun>;

double last_held_out_loss(const RunStory& story) {
  return story.evaluations.empty() ? kUnknown : story.evaluations.back().loss;
}

/// As many as there are colours: of more runs those with the lowest held-out loss.
DrawnRuns drawn_of(const Stories& stories) {
  const std::vector<std::string> names = names_of(stories);
  DrawnRuns drawn;
  for (std::size_t i = 0; i < stories.size(); ++i) drawn.push_back({&stories[i], names[i]});
  if (drawn.size() <= kCategoryColours) return drawn;
  const auto rank = [](const DrawnRun& run) {
    const double loss = last_held_out_loss(*run.story);
    return std::isfinite(loss) ? loss : std::numeric_limits<double>::infinity();
  };
  std::stable_sort(drawn.begin(), drawn.end(), [&](const DrawnRun& one, const DrawnRun& other) {
    return rank(one) < rank(other);
  });
  drawn.resize(kCategoryColours);
  return drawn;
}

std::vector<LegendEntry> legend_of(const DrawnRuns& runs) {
  std::vector<LegendEntry> legend;
  for (std::size_t i = 0; i < runs.size(); ++i)
    legend.push_back({category_class(static_cast<int>(i)), runs[i].name});
  return legend;
}

/// `points` gives the line of a run; nothing is drawn when no run has any.
template <typename Points>
Html overlay(const DrawnRuns& runs, Figure shown, LineChart chart, LineStyle style,
             Points&& points) {
  bool any = false;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::vector<Point> line = points(*runs[i].story);
    any = any || std::any_of(line.begin(), line.end(),
                             [](const Point& point) { return std::isfinite(point.y); });
    const std::string colour = category_class(static_cast<int>(i));
    if (style == LineStyle::kDots) {
      chart.series.push_back({runs[i].name, colour, line, style});
      continue;
    }
    for (Series& series : smoothed(runs[i].name, colour, line)) chart.series.push_back(series);
  }
  if (!any) return "";
  shown.picture = line_chart_svg(chart);
  shown.legend = legend_of(runs);
  return figure(shown);
}

std::vector<Point> loss_by_tokens(const RunStory& story) {
  std::vector<Point> points;
  for (const StoryStep& step : story.steps) {
    if (std::isfinite(step.tokens)) points.push_back({step.tokens, step.loss});
  }
  std::stable_sort(points.begin(), points.end(),
                   [](const Point& one, const Point& other) { return one.x < other.x; });
  return points;
}

std::vector<Point> held_out(const RunStory& story) {
  std::vector<Point> points;
  for (const StoryEvaluation& evaluation : story.evaluations)
    points.push_back({static_cast<double>(evaluation.step), evaluation.loss});
  return points;
}

Html overlays(const DrawnRuns& runs) {
  const auto of = [](StepNumber number) {
    return [number](const RunStory& story) { return points_of(story, number); };
  };
  const Axis nats = axis_of("nats per token");
  Axis tokens = axis_of("tokens");
  tokens.rounded_ends = false;
  return overlay(runs, {.title = "Training loss by step"},
                 {.name = "Training loss by step", .x = step_axis(), .y = nats}, LineStyle::kLine,
                 of(&StoryStep::loss)) +
         overlay(runs, {.title = "Training loss by tokens"},
                 {.name = "Training loss by tokens", .x = tokens, .y = nats}, LineStyle::kLine,
                 loss_by_tokens) +
         overlay(runs, {.title = "Held-out loss"},
                 {.name = "Held-out loss by step", .x = step_axis(), .y = nats}, LineStyle::kDots,
                 held_out) +
         overlay(runs, {.title = "Tokens per second"},
                 {.name = "Tokens per second by step",
                  .x = step_axis(),
                  .y = axis_from_zero("tokens/s, all ranks")},
                 LineStyle::kLine, of(&StoryStep::tokens_per_second)) +
         overlay(runs, {.title = "Time of a step"},
                 {.name = "Seconds by step",
                  .x = step_axis(),
                  .y = axis_from_zero("per step", Quantity::kSeconds)},
                 LineStyle::kLine, of(&StoryStep::step_seconds)) +
         overlay(runs, {.title = "Balance of expert FLOPs", .note = "Busiest rank over the mean."},
                 {.name = "Balance by step", .x = step_axis(), .y = balance_axis("max/mean")},
                 LineStyle::kLine, of(&StoryStep::flops_max_over_mean));
}

Html summary_table(const Stories& stories) {
  HtmlTable shown{
      .columns = {"run", "state", "ranks", "steps", "tokens", "training loss", "held-out loss",
                  "tokens/s", "balance", "peak memory", "wall time", "effective"},
      .text_columns = 2};
  const std::vector<std::string> names = names_of(stories);
  for (std::size_t i = 0; i < stories.size(); ++i) {
    const RunStory& story = stories[i];
    const StoryStep last = story.steps.empty() ? StoryStep{} : story.steps.back();
    const auto memory = values_of(story, &StoryStep::memory_bytes);
    shown.rows.push_back({names[i], std::string(run_state_name(story.state)),
                          story.ranks() > 0 ? std::to_string(story.ranks()) : "-",
                          std::to_string(last.step), amount_text(last.tokens),
                          decimals_text(last.loss, 3), decimals_text(last_held_out_loss(story), 3),
                          amount_text(median_of(story, &StoryStep::tokens_per_second)),
                          decimals_text(mean_of(story, &StoryStep::flops_max_over_mean), 3),
                          memory.empty() ? "-" : size_text(memory.back()),
                          time_text(story.history.wall_seconds),
                          share_text(story.history.effective_time_ratio().value_or(kUnknown))});
  }
  return table(shown);
}

/// The configurations beside one another: key by key, in the order of the first run that has it.
struct Beside {
  std::vector<std::string> keys;
  std::vector<std::map<std::string, std::string>> values;  ///< of each run
};

Beside beside(const Stories& stories) {
  Beside configurations;
  std::set<std::string> known;
  for (const RunStory& story : stories) {
    configurations.values.emplace_back(story.config.begin(), story.config.end());
    for (const auto& [key, value] : story.config) {
      if (known.insert(key).second) configurations.keys.push_back(key);
    }
  }
  return configurations;
}

Html differences(const Stories& stories) {
  HtmlTable different{.columns = {"key"}, .text_columns = stories.size() + 1};
  for (const std::string& name : names_of(stories)) different.columns.push_back(name);
  HtmlTable not_everywhere = different;
  const Beside configurations = beside(stories);
  for (const std::string& key : configurations.keys) {
    std::vector<std::string> row = {key};
    bool is_everywhere = true;
    for (const auto& values : configurations.values) {
      const auto found = values.find(key);
      is_everywhere = is_everywhere && found != values.end();
      row.push_back(found == values.end() ? "-" : found->second);
    }
    if (!is_everywhere) {
      not_everywhere.rows.push_back(std::move(row));
    } else if (std::set<std::string>(row.begin() + 1, row.end()).size() > 1) {
      different.rows.push_back(std::move(row));
    }
  }
  const Html words =
      paragraph(different.rows.empty() ? "No key of config.yaml has another value in another run."
                                       : "Keys of config.yaml whose values differ.");
  return section("Differences", words + table(different) +
                                    folded("Keys that not every run has", table(not_everywhere)));
}

}  // namespace

Html comparison_part(const Stories& stories) {
  Html title;
  for (const std::string& name : names_of(stories)) title += (title.empty() ? "" : ", ") + name;
  if (stories.size() > kCategoryColours) title = std::to_string(stories.size()) + " runs";
  const DrawnRuns drawn = drawn_of(stories);
  const Html words = drawn.size() == stories.size()
                         ? Html()
                         : paragraph("Drawn: the " + std::to_string(drawn.size()) +
                                     " runs with the lowest held-out loss.");
  return "<header><p class=\"kind\">hetmoe runs compared</p><h1>" + escaped(title) +
         "</h1></header>\n" + summary_table(stories) +
         section("Side by side", words + side_by_side(overlays(drawn))) + differences(stories);
}

}  // namespace hetmoe
