#pragma once

#include <string>
#include <vector>

#include "runtime/report/chart/line_chart.h"
#include "runtime/report/story/run_story.h"

namespace hetmoe {

using StepNumber = double StoryStep::*;

/// A number of each step over the steps.
std::vector<Point> points_of(const RunStory& story, StepNumber number);
/// Its finite values.
std::vector<double> values_of(const RunStory& story, StepNumber number);
bool has_any(const RunStory& story, StepNumber number);
/// NaN without values.
double median_of(const RunStory& story, StepNumber number);
double mean_of(const RunStory& story, StepNumber number);

/// One line over the steps; of a long run the values faintly and the mean of neighbours.
std::vector<Series> smoothed(const std::string& name, const std::string& colour,
                             const std::vector<Point>& points);

Axis step_axis();
/// Of something that is 1 when even: noise of some percent must not fill the chart.
Axis balance_axis(const std::string& title);
/// Restarts and rebalances, to be drawn into charts over the steps.
std::vector<Mark> marks_of(const RunStory& story);

/// "2026-11-22 19:07:52" in UTC; "-" for what no calendar holds.
std::string clock_text(double wall_seconds);

/// "-" for what is not known.
std::string seconds_text(double seconds);  ///< parts of a step
std::string time_text(double seconds);     ///< of a run
std::string amount_text(double count);     ///< 1.23 M
std::string size_text(double bytes);       ///< 1.23 GiB
std::string decimals_text(double value, int digits);
std::string share_text(double ratio);  ///< 12.3 %

}  // namespace hetmoe
