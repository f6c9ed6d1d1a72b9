#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "runtime/report/chart/axis.h"
#include "runtime/report/chart/bar_chart.h"
#include "runtime/report/chart/colour.h"
#include "runtime/report/chart/filled_rows.h"
#include "runtime/report/chart/line_chart.h"
#include "runtime/report/chart/stacked_area.h"
#include "runtime/report/chart/svg_text.h"
#include "runtime/report/chart/thinning.h"

namespace hetmoe {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::Not;
using ::testing::SizeIs;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<std::string> labels(const FittedAxis& axis) {
  std::vector<std::string> texts;
  for (const Tick& tick : axis.ticks) texts.push_back(tick.label);
  return texts;
}

FittedAxis fitted(const Axis& axis, double lowest, double highest) {
  ValueSpan span(axis.scale == Scale::kLogarithmic);
  span.add(lowest);
  span.add(highest);
  return fit_axis(axis, span);
}

int occurrences(const std::string& text, const std::string& part) {
  int count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(SvgText, MarkupBecomesEntities) {
  EXPECT_EQ(escaped("<b a='1' c=\"2\">&amp;"), "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;amp;");
  EXPECT_EQ(escaped("Größe\t1\n2"), "Größe\t1\n2");
}

TEST(SvgText, WhatIsNoTextBecomesTheReplacementCharacter) {
  const std::string replaced = "\xEF\xBF\xBD";
  EXPECT_EQ(escaped(std::string("a\0b", 3)), "a" + replaced + "b");
  EXPECT_EQ(escaped("\x1b[0m"), replaced + "[0m");
  EXPECT_EQ(escaped("\xC2\x85"), replaced);             // a control character of two bytes
  EXPECT_EQ(escaped("\xFFx"), replaced + "x");          // never begins a sequence
  EXPECT_EQ(escaped("\xC3"), replaced);                 // cut off
  EXPECT_EQ(escaped("\xC3<"), replaced + "&lt;");       // what follows is not swallowed
  EXPECT_EQ(escaped("\xC0\xBC"), replaced + replaced);  // an overlong '<'
  EXPECT_EQ(escaped("\xED\xA0\x80"), replaced + replaced + replaced);  // a surrogate
  EXPECT_EQ(escaped("\xF4\x8F\xBF\xBF"), "\xF4\x8F\xBF\xBF");
}

TEST(SvgText, CoordinatesHaveATenthAtMost) {
  EXPECT_EQ(coordinate(12), "12");
  EXPECT_EQ(coordinate(12.34), "12.3");
  EXPECT_EQ(coordinate(-0.04), "0");
  EXPECT_EQ(coordinate(kNan), "0");
  EXPECT_EQ(coordinate(kInfinity), "0");
}

TEST(AxisTicks, AreRoundAndReachTheEnds) {
  const FittedAxis axis = fitted(axis_of("nats"), 4.1, 7.9);
  EXPECT_THAT(labels(axis), ElementsAre("4", "5", "6", "7", "8"));
  EXPECT_DOUBLE_EQ(axis.position(4), 0);
  EXPECT_DOUBLE_EQ(axis.position(8), 1);
  EXPECT_EQ(axis.title, "nats");
}

TEST(AxisTicks, ThreeToNineForEveryRange) {
  for (double range = 1e-7; range < 1e9; range *= 1.37) {
    const FittedAxis axis = fitted(axis_of(""), 0.3 * range, 1.3 * range);
    EXPECT_THAT(axis.ticks.size(), AllOf(Ge(3u), Le(9u))) << range;
    for (std::size_t i = 1; i < axis.ticks.size(); ++i)
      EXPECT_NE(axis.ticks[i].label, axis.ticks[i - 1].label) << range;
  }
}

TEST(AxisTicks, CarryTheUnitThatSuitsThem) {
  const FittedAxis time = fitted(axis_from_zero("per step", Quantity::kSeconds), 0.01, 0.79);
  EXPECT_EQ(time.title, "per step (ms)");
  EXPECT_THAT(labels(time), ElementsAre("0", "200", "400", "600", "800"));
  EXPECT_DOUBLE_EQ(time.highest, 0.8);
  EXPECT_EQ(fitted(axis_from_zero("m", Quantity::kBytes), 0, 5.0 * (1 << 30)).title, "m (GiB)");
  EXPECT_THAT(labels(fitted(axis_from_zero("s", Quantity::kRatio), 0, 0.2)),
              ElementsAre("0", "5", "10", "15", "20"));
  EXPECT_THAT(labels(fitted(axis_from_zero("tokens"), 0, 2.9e6)),
              ElementsAre("0", "0.5M", "1.0M", "1.5M", "2.0M", "2.5M", "3.0M"));
}

TEST(AxisTicks, OfALogarithmAreDecadesOrBetween) {
  EXPECT_THAT(labels(fitted(logarithmic_axis(""), 0.009, 12000)),
              ElementsAre("0.01", "0.1", "1", "10", "100", "1000", "10k"));
  EXPECT_THAT(labels(fitted(logarithmic_axis(""), 0.4, 6)), ElementsAre("0.5", "1", "2", "5"));
  const FittedAxis axis = fitted(logarithmic_axis(""), 1, 100);
  EXPECT_DOUBLE_EQ(axis.position(10), 0.5);
  EXPECT_TRUE(std::isnan(axis.position(0)));
}

TEST(AxisTicks, StandForNoValuesAndForASingleOne) {
  EXPECT_GE(fit_axis(axis_of("nothing"), ValueSpan()).ticks.size(), 2u);
  EXPECT_GE(fitted(axis_of(""), 5, 5).ticks.size(), 3u);
  EXPECT_GE(fitted(axis_of(""), 0, 0).ticks.size(), 2u);
  EXPECT_GE(fitted(logarithmic_axis(""), 5, 5).ticks.size(), 2u);
  ValueSpan nothing_positive(true);
  nothing_positive.add(-1);
  EXPECT_EQ(fit_axis(logarithmic_axis(""), nothing_positive).scale, Scale::kLinear);
}

TEST(AxisTicks, OfStepsAreWhole) {
  Axis steps = axis_of("step");
  steps.whole = true;
  steps.rounded_ends = false;
  EXPECT_THAT(labels(fitted(steps, 1, 3)), ElementsAre("1", "2", "3"));
}

std::vector<Point> noise(int count) {
  std::vector<Point> points;
  for (int i = 0; i < count; ++i) points.push_back({i + 1.0, std::sin(i * 12.9898) * 43.7});
  return points;
}

TEST(Thinning, KeepsEveryColumnsExtremes) {
  std::vector<Point> points = noise(10000);
  points[5003].y = 900;
  points[7777].y = -800;
  const std::vector<Point> kept = thinned(points, 100);
  EXPECT_LE(kept.size(), 200u);
  bool high = false, low = false;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    high = high || (kept[i].x == 5004 && kept[i].y == 900);
    low = low || (kept[i].x == 7778 && kept[i].y == -800);
    EXPECT_GE(kept[i].x, kept[i == 0 ? 0 : i - 1].x);
  }
  EXPECT_TRUE(high && low);
}

TEST(Thinning, LeavesShortLinesAsTheyAre) { EXPECT_THAT(thinned(noise(200), 100), SizeIs(200)); }

TEST(Thinning, AColumnWithoutValuesBreaksTheLine) {
  std::vector<Point> points = noise(1000);
  for (int i = 500; i < 600; ++i) points[i].y = kNan;
  int breaks = 0;
  for (const Point& point : thinned(points, 100)) breaks += std::isnan(point.y) ? 1 : 0;
  EXPECT_GE(breaks, 9);
  for (const Point& mean : column_means(points, 100)) EXPECT_TRUE(std::isfinite(mean.y));
}

LineChart chart_of(std::vector<Point> points) {
  return {.name = "chart <1>",
          .x = axis_of("step"),
          .y = axis_of("loss"),
          .series = {{"a\"b", category_class(0), std::move(points)}}};
}

TEST(LineChart, DrawsItsLineAndEscapesItsNames) {
  const std::string svg = line_chart_svg(chart_of({{1, 1}, {2, 2}, {3, 4}}));
  EXPECT_THAT(svg, HasSubstr("aria-label=\"chart &lt;1&gt;\""));
  EXPECT_THAT(svg, HasSubstr("data-name=\"a&quot;b\""));
  EXPECT_EQ(occurrences(svg, "<path"), 1);
  EXPECT_THAT(svg, HasSubstr("data-x=\"1 3 0 \""));
}

TEST(LineChart, IsBrokenByWhatIsNoNumberAndHoldsNone) {
  LineChart chart = chart_of({{1, 1}, {2, kNan}, {3, kInfinity}, {4, 2}, {5, 3}});
  for (const Scale scale : {Scale::kLinear, Scale::kLogarithmic}) {
    chart.y.scale = scale;
    const std::string svg = line_chart_svg(chart);
    const std::string path = svg.substr(svg.find(" d=\""), 60);
    EXPECT_EQ(occurrences(path, "M"), 2) << path;
    EXPECT_THAT(svg, AllOf(Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
  }
}

TEST(LineChart, StandsWithoutPointsAndWithOne) {
  EXPECT_THAT(line_chart_svg(chart_of({})), HasSubstr("</svg>"));
  EXPECT_EQ(occurrences(line_chart_svg(chart_of({{7, 7}})), "<path"), 1);
}

TEST(LineChart, LongRunsStaySmall) {
  EXPECT_LT(line_chart_svg(chart_of(noise(1000000))).size(), 20000u);
}

TEST(LineChart, MarksAreNamedAndThoseOutsideLeftOut) {
  LineChart chart = chart_of({{1, 1}, {10, 2}});
  chart.marks = {{5, "here"}, {11, "outside"}};
  const std::string svg = line_chart_svg(chart);
  EXPECT_THAT(svg, AllOf(HasSubstr("<title>here</title>"), Not(HasSubstr("outside"))));
}

StackedArea stack_of(int steps, double spike) {
  StackedArea chart{.name = "phases",
                    .x = axis_of("step"),
                    .y = axis_from_zero("time", Quantity::kSeconds),
                    .at = {},
                    .layers = {{"low", category_class(0), {}}, {"high", category_class(1), {}}}};
  for (int i = 0; i < steps; ++i) {
    chart.at.push_back(i + 1);
    chart.layers[0].values.push_back(i == 0 ? spike : 1);
    chart.layers[1].values.push_back(2);
  }
  return chart;
}

TEST(StackedArea, ReachesTheSumAndPutsTheFirstLayerOnTop) {
  const std::string svg = stacked_area_svg(stack_of(20, 1));
  EXPECT_THAT(svg, HasSubstr("data-y=\"0 3 0 s\""));
  EXPECT_LT(svg.find("data-name=\"high\""), svg.find("data-name=\"low\""));
}

TEST(StackedArea, ASlowStepDoesNotFlattenTheOthers) {
  EXPECT_THAT(stacked_area_svg(stack_of(100, 500)), HasSubstr("data-y=\"0 3.45 0 s\""));
  EXPECT_EQ(stacked_area_svg(stack_of(0, 1)), "");
}

TEST(BarChart, HeightsAreInProportion) {
  const std::string svg = bar_chart_svg({.name = "bars",
                                         .x_title = "rank",
                                         .y = axis_of("work"),
                                         .categories = {"0", "1", "2"},
                                         .series = {{"now", category_class(0), {2, 4, kNan}}},
                                         .height = 236});
  std::vector<double> heights;
  for (auto at = svg.find("<rect"); at != std::string::npos; at = svg.find("<rect", at + 1))
    heights.push_back(std::stod(svg.substr(svg.find("height=\"", at) + 8)));
  ASSERT_EQ(heights.size(), 2u);  // nothing for what is no number
  EXPECT_NEAR(heights[1], 2 * heights[0], 0.2);
  EXPECT_THAT(svg, HasSubstr("<title>1\nnow 4</title>"));
}

TEST(FilledRows, WidthsAreInProportionAndNamed) {
  const std::string svg =
      filled_rows_svg({.name = "placement",
                       .x = axis_of("rows"),
                       .rows = {{"rank 0", {{30, ramp_class(0), "expert 1 <x>", "1"}}},
                                {"rank 1",
                                 {{10, ramp_class(1), "expert 2", "2"},
                                  {5, ramp_class(1), "expert 3", "3"},
                                  {-4, ramp_class(1), "none", ""}}}}});
  std::vector<double> widths;
  for (auto at = svg.find("<rect"); at != std::string::npos; at = svg.find("<rect", at + 1))
    widths.push_back(std::stod(svg.substr(svg.find("width=\"", at) + 7)));
  ASSERT_EQ(widths.size(), 3u);
  EXPECT_NEAR(widths[0], 3 * widths[1], 0.3);
  EXPECT_NEAR(widths[1], 2 * widths[2], 0.3);
  EXPECT_THAT(svg, HasSubstr("expert 1 &lt;x&gt;"));
}

TEST(ChartColours, EachIsThereInLightAndInDark) {
  const std::string css = chart_style();
  for (int i = 0; i < kCategoryColours; ++i)
    EXPECT_EQ(occurrences(css, "--c" + std::to_string(i) + ":#"), 2);
  for (int i = 0; i < kRampColours; ++i)
    EXPECT_EQ(occurrences(css, "--r" + std::to_string(i) + ":#"), 2);
  EXPECT_EQ(ramp_class(0), "r0");
  EXPECT_EQ(ramp_class(1), "r" + std::to_string(kRampColours - 1));
  EXPECT_EQ(ramp_class(kNan), "r0");
  EXPECT_EQ(category_class(kCategoryColours), "c0");
}

}  // namespace
}  // namespace hetmoe
