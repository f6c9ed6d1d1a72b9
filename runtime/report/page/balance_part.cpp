#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "runtime/report/chart/bar_chart.h"
#include "runtime/report/chart/colour.h"
#include "runtime/report/chart/line_chart.h"
#include "runtime/report/page/expert_loads.h"
#include "runtime/report/page/sections.h"
#include "runtime/report/page/series.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

constexpr std::size_t kWindow = 20;
constexpr std::size_t kMostPanels = 6;
constexpr std::size_t kMostRows = 40;

Html balance_figure(const RunStory& story) {
  if (!has_any(story, &StoryStep::flops_max_over_mean)) return "";
  return figure({.title = "Balance of expert FLOPs",
                 .note = "For the tokens really routed; 1 is even. Dashed: a rebalance or a "
                         "restart.",
                 .picture = line_chart_svg(
                     {.name = "Expert FLOPs, largest rank over the mean, by step",
                      .x = step_axis(),
                      .y = balance_axis("busiest rank over the mean"),
                      .series = smoothed("max/mean", category_class(0),
                                         points_of(story, &StoryStep::flops_max_over_mean)),
                      .marks = marks_of(story)})});
}

/// Over their mean, so that steps of different sizes can be compared.
std::vector<double> over_mean(std::vector<double> values) {
  const double mean =
      std::reduce(values.begin(), values.end()) / static_cast<double>(values.size());
  for (double& value : values) value = mean > 0 ? value / mean : kUnknown;
  return values;
}

double highest(const std::vector<double>& values) {
  return values.empty() ? kUnknown : *std::max_element(values.begin(), values.end());
}

struct Around {
  std::vector<double> before;
  std::vector<double> after;
};

Around around(const RunStory& story, std::size_t rebalance) {
  const auto& all = story.rebalances;
  const std::int64_t at = all[rebalance].step;
  const std::int64_t last = rebalance == 0 ? 0 : all[rebalance - 1].step;
  const std::int64_t next = rebalance + 1 < all.size() ? all[rebalance + 1].step
                                                       : std::numeric_limits<std::int64_t>::max();
  return {over_mean(rank_flops(story, {last, at, kWindow, true})),
          over_mean(rank_flops(story, {at, next, kWindow, false}))};
}

Html panel(const RunStory& story, std::size_t rebalance) {
  const Around flops = around(story, rebalance);
  if (flops.before.empty() || flops.before.size() != flops.after.size()) return "";
  const std::string step = std::to_string(story.rebalances[rebalance].step);
  BarChart chart{.name = "Expert FLOPs of each rank around step " + step,
                 .x_title = "rank",
                 .y = axis_of("over the mean of all ranks"),
                 .series = {{"before", category_class(8), flops.before},
                            {"after", category_class(0), flops.after}},
                 .height = 190};
  for (std::size_t rank = 0; rank < flops.before.size(); ++rank)
    chart.categories.push_back(std::to_string(rank));
  return figure(
      {.title = "Rebalance after step " + step,
       .note = "Expert FLOPs of each rank, mean of up to 20 steps either side. Busiest: " +
               fixed_text(highest(flops.before), 3) + " before, " +
               fixed_text(highest(flops.after), 3) + " after.",
       .picture = bar_chart_svg(chart),
       .legend = {{category_class(8), "before"}, {category_class(0), "after"}}});
}

/// Those that found the most to even out, in their order.
std::vector<std::size_t> shown_rebalances(const RunStory& story) {
  std::vector<std::size_t> chosen(story.rebalances.size());
  std::iota(chosen.begin(), chosen.end(), std::size_t{0});
  const auto found = [&](std::size_t i) {
    const double before = story.rebalances[i].flops_max_over_mean_before;
    return std::isfinite(before) ? before : 0;
  };
  std::stable_sort(chosen.begin(), chosen.end(),
                   [&](std::size_t a, std::size_t b) { return found(a) > found(b); });
  chosen.resize(std::min(chosen.size(), kMostPanels));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

Html rebalance_table(const RunStory& story) {
  HtmlTable shown{.columns = {"after step", "max/mean before", "after", "measured before", "after",
                              "gain predicted", "measured", "moved", "moving", "planning"}};
  const std::size_t first = story.rebalances.size() - std::min(story.rebalances.size(), kMostRows);
  for (std::size_t i = first; i < story.rebalances.size(); ++i) {
    const StoryRebalance& rebalance = story.rebalances[i];
    const Around flops = around(story, i);
    shown.rows.push_back(
        {std::to_string(rebalance.step), decimals_text(rebalance.flops_max_over_mean_before, 3),
         decimals_text(rebalance.flops_max_over_mean_after, 3),
         decimals_text(highest(flops.before), 3), decimals_text(highest(flops.after), 3),
         seconds_text(rebalance.predicted_gain_seconds),
         seconds_text(rebalance.measured_gain_seconds), size_text(rebalance.moving_bytes),
         seconds_text(rebalance.moving_seconds), seconds_text(rebalance.planning_seconds)});
  }
  if (shown.rows.empty()) return "";
  std::string words =
      "Each rebalance: the balance that the planner expected from the loads it had seen, the one "
      "measured around it, and what a step was to gain and gained.";
  if (first > 0)
    words += " The last " + std::to_string(kMostRows) + " of " +
             std::to_string(story.rebalances.size()) + ".";
  return paragraph(words) + table(shown);
}

}  // namespace

Html balance_part(const RunStory& story) {
  Html figures = balance_figure(story);
  for (const std::size_t rebalance : shown_rebalances(story)) figures += panel(story, rebalance);
  return section("Balance", side_by_side(figures) + rebalance_table(story));
}

}  // namespace hetmoe
