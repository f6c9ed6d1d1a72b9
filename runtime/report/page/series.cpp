#include "runtime/report/page/series.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/median.h"
#include "runtime/metrics/utc_time.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

constexpr std::size_t kFewPoints = 120;
constexpr int kMeans = 60;

template <typename Text>
std::string or_dash(double value, Text&& text) {
  return std::isfinite(value) ? text(value) : "-";
}

}  // namespace

std::vector<Point> points_of(const RunStory& story, StepNumber number) {
  std::vector<Point> points;
  for (const StoryStep& step : story.steps)
    points.push_back({static_cast<double>(step.step), step.*number});
  return points;
}

std::vector<double> values_of(const RunStory& story, StepNumber number) {
  std::vector<double> values;
  for (const StoryStep& step : story.steps) {
    if (std::isfinite(step.*number)) values.push_back(step.*number);
  }
  return values;
}

bool has_any(const RunStory& story, StepNumber number) {
  return std::any_of(story.steps.begin(), story.steps.end(),
                     [&](const StoryStep& step) { return std::isfinite(step.*number); });
}

double median_of(const RunStory& story, StepNumber number) {
  const std::vector<double> values = values_of(story, number);
  return values.empty() ? kUnknown : median(values);
}

double mean_of(const RunStory& story, StepNumber number) {
  const std::vector<double> values = values_of(story, number);
  if (values.empty()) return kUnknown;
  return std::reduce(values.begin(), values.end()) / static_cast<double>(values.size());
}

std::vector<Series> smoothed(const std::string& name, const std::string& colour,
                             const std::vector<Point>& points) {
  if (points.size() <= kFewPoints) return {{name, colour, points, LineStyle::kLine}};
  return {{name, colour, points, LineStyle::kFaint},
          {name + ", mean of " + std::to_string((points.size() + kMeans - 1) / kMeans), colour,
           column_means(points, kMeans), LineStyle::kLine}};
}

Axis balance_axis(const std::string& title) {
  Axis axis = axis_of(title);
  axis.least_upper = 1.1;
  return axis;
}

Axis step_axis() {
  Axis axis = axis_of("step");
  axis.whole = true;
  axis.rounded_ends = false;
  return axis;
}

std::vector<Mark> marks_of(const RunStory& story) {
  std::vector<Mark> marks;
  for (const StoryRebalance& rebalance : story.rebalances)
    marks.push_back({static_cast<double>(rebalance.step),
                     "rebalance after step " + std::to_string(rebalance.step)});
  for (std::size_t i = 1; i < story.starts.size(); ++i)
    marks.push_back({static_cast<double>(story.starts[i].first_step) - 0.5,
                     "start " + std::to_string(story.starts[i].generation) + ", from step " +
                         std::to_string(story.starts[i].first_step)});
  return marks;
}

std::string clock_text(double wall_seconds) {
  constexpr double year_9999 = 2.5e11;  // iso8601_utc knows four digits of a year
  if (!(wall_seconds > 0 && wall_seconds < year_9999)) return "-";
  const std::string iso = iso8601_utc(wall_seconds);
  return iso.substr(0, 10) + " " + iso.substr(11, 8);
}

std::string seconds_text(double seconds) {
  if (seconds < 0) return "-" + seconds_text(-seconds);
  return or_dash(seconds, short_duration_text);
}

std::string time_text(double seconds) { return or_dash(seconds, duration_text); }

std::string amount_text(double count) { return or_dash(count, count_text); }

std::string size_text(double bytes) {
  if (!(std::abs(bytes) < 9e18)) return "-";
  return bytes_text(static_cast<std::int64_t>(bytes));
}

std::string decimals_text(double value, int digits) {
  return or_dash(value, [&](double known) { return fixed_text(known, digits); });
}

std::string share_text(double ratio) { return or_dash(ratio, percent_text); }

}  // namespace hetmoe
