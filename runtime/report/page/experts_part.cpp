#include <algorithm>
#include <cmath>
#include <cstddef>
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

constexpr std::size_t kMostLines = 16;  ///< more cannot be told apart: neighbours share one
constexpr std::size_t kMostBars = 48;
constexpr std::size_t kColumns = 90;

/// Experts that are drawn as one: neighbours by width.
using Group = std::vector<std::size_t>;

std::vector<Group> groups_of(const RunStory& story, std::size_t most) {
  const std::vector<std::size_t> order = by_width(story.widths, num_experts(story));
  const std::size_t count = std::min(order.size(), most);
  std::vector<Group> groups(count);
  for (std::size_t i = 0; i < order.size(); ++i)
    groups[i * count / order.size()].push_back(order[i]);
  return groups;
}

double mean_over(const Group& group, const std::vector<double>& values) {
  double sum = 0;
  for (const std::size_t expert : group) sum += values[expert];
  return sum / static_cast<double>(group.size());
}

bool knows_widths(const RunStory& story) { return story.widths.size() == num_experts(story); }

std::string name_of(const RunStory& story, const Group& group) {
  const auto width = [&](std::size_t expert) { return std::to_string(story.widths[expert]); };
  if (group.size() == 1) {
    const std::string name = "expert " + std::to_string(group.front());
    return knows_widths(story) ? name + ", width " + width(group.front()) : name;
  }
  const std::string count = std::to_string(group.size()) + " experts";
  return knows_widths(story)
             ? count + ", width " + width(group.front()) + " to " + width(group.back())
             : count;
}

std::vector<double> share_of_sum(std::vector<double> values) {
  const double sum = std::reduce(values.begin(), values.end());
  for (double& value : values) value /= sum;
  return values;
}

std::vector<double> group_means(const std::vector<Group>& groups,
                                const std::vector<double>& values) {
  std::vector<double> means;
  for (const Group& group : groups) means.push_back(mean_over(group, values));
  return means;
}

Html share_figure(const RunStory& story) {
  const std::size_t end = story.steps.size(), begin = end - std::max<std::size_t>(end / 4, 1);
  const std::vector<double> tokens = expert_shares(story, begin, end);
  if (tokens.empty()) return "";
  const std::vector<Group> groups = groups_of(story, kMostBars);
  BarChart chart{.name = "Share of width, tokens and FLOPs by expert",
                 .x_title = groups.size() < tokens.size() ? "groups of experts, narrow to wide"
                            : knows_widths(story)         ? "width of the expert"
                                                          : "expert",
                 .y = axis_from_zero("of all experts", Quantity::kRatio)};
  for (const Group& group : groups)
    chart.categories.push_back(std::to_string(knows_widths(story)
                                                  ? story.widths[group.front()]
                                                  : static_cast<std::int64_t>(group.front())));
  Figure shown{.title = "Tokens beside widths",
               .note = "Steps " + std::to_string(story.steps[begin].step) + " to " +
                       std::to_string(story.steps[end - 1].step) +
                       ", all layers. FLOPs are tokens times width: bars of one height mean that "
                       "every expert computes as much."};
  const auto add = [&](const char* name, int colour, const std::vector<double>& values) {
    chart.series.push_back({name, category_class(colour), group_means(groups, values)});
    shown.legend.push_back({category_class(colour), name});
  };
  if (knows_widths(story)) {
    const std::vector<double> widths(story.widths.begin(), story.widths.end());
    std::vector<double> flops = tokens;
    for (std::size_t i = 0; i < flops.size(); ++i) flops[i] *= widths[i];
    add("width", 8, share_of_sum(widths));
    add("tokens", 0, tokens);
    add("FLOPs", 4, share_of_sum(flops));
  } else {
    add("tokens", 0, tokens);
    shown.note = "The widths are not known.";
  }
  shown.picture = bar_chart_svg(chart);
  return figure(shown);
}

Html shares_by_step(const RunStory& story) {
  const std::vector<Group> groups = groups_of(story, kMostLines);
  if (groups.empty()) return "";
  LineChart chart{.name = "Share of tokens by expert over the steps",
                  .x = step_axis(),
                  .y = axis_from_zero("of all tokens, each", Quantity::kRatio),
                  .marks = marks_of(story)};
  Figure shown{.title = "Tokens of each expert over time", .note = "From narrow to wide."};
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const double place =
        groups.size() < 2 ? 0 : static_cast<double>(i) / static_cast<double>(groups.size() - 1);
    chart.series.push_back({.name = name_of(story, groups[i]), .colour = ramp_class(place)});
    shown.legend.push_back({ramp_class(place), name_of(story, groups[i])});
  }
  const std::size_t count = story.steps.size(), columns = std::min(count, kColumns);
  for (std::size_t column = 0; column < columns; ++column) {
    const std::size_t begin = column * count / columns, end = (column + 1) * count / columns;
    const std::vector<double> shares = expert_shares(story, begin, end);
    const double x = static_cast<double>(story.steps[begin].step + story.steps[end - 1].step) / 2;
    for (std::size_t i = 0; i < groups.size(); ++i)
      chart.series[i].points.push_back(
          {x, shares.empty() ? kUnknown : mean_over(groups[i], shares)});
  }
  shown.picture = line_chart_svg(chart);
  return figure(shown);
}

}  // namespace

Html experts_part(const RunStory& story) {
  if (num_experts(story) == 0) return "";
  return section("Experts", side_by_side(share_figure(story) + shares_by_step(story)));
}

}  // namespace hetmoe
