#include "runtime/report/chart/bar_chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>

#include "runtime/report/chart/frame.h"
#include "runtime/report/chart/svg_text.h"

namespace hetmoe {
namespace {

constexpr double kLabelWidth = 7;  ///< of a letter, with some air

std::string value_text(double value, const FittedAxis& axis) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value / axis.unit_size);
  return text.data() + (axis.unit.empty() ? "" : " " + axis.unit);
}

std::string bar_svg(double x, double width, double y, double bottom, const std::string& colour) {
  return "<rect x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" width=\"" +
         coordinate(std::max(width, 0.3)) + "\" height=\"" + coordinate(std::max(bottom - y, 0.0)) +
         "\" class=\"box " + colour + "\"/>";
}

std::string category_svg(const BarChart& chart, std::size_t category, const FittedAxis& axis,
                         const ChartFrame& frame) {
  const double slot = (frame.right - frame.left) / static_cast<double>(chart.categories.size());
  const double group = std::min(slot * 0.84, 90.0);
  const double width = group / static_cast<double>(chart.series.size());
  const double start = frame.left + slot * (static_cast<double>(category) + 0.5) - group / 2;
  std::string tip = chart.categories[category], bars;
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    const double value = chart.series[i].values[category];
    if (!std::isfinite(value)) continue;
    tip += "\n" + chart.series[i].name + " " + value_text(value, axis);
    bars += bar_svg(start + width * static_cast<double>(i), width * 0.92,
                    frame.y(axis.position(value)), frame.bottom, chart.series[i].colour);
  }
  return "<g><title>" + escaped(tip) + "</title>" + bars + "</g>\n";
}

std::string category_labels(const BarChart& chart, const ChartFrame& frame) {
  std::size_t letters = 1;
  for (const std::string& label : chart.categories) letters = std::max(letters, label.size());
  const double slot = (frame.right - frame.left) / static_cast<double>(chart.categories.size());
  const double room = kLabelWidth * static_cast<double>(letters) + 4;
  const auto every = static_cast<std::size_t>(std::max(1.0, std::ceil(room / slot)));
  std::string svg;
  for (std::size_t i = 0; i < chart.categories.size(); i += every)
    svg += text_svg(frame.left + slot * (static_cast<double>(i) + 0.5), frame.bottom + 15, "middle",
                    chart.categories[i]);
  return svg;
}

}  // namespace

std::string bar_chart_svg(const BarChart& chart) {
  if (chart.categories.empty() || chart.series.empty()) return "";
  ValueSpan span;
  for (const BarSeries& series : chart.series) {
    for (const double value : series.values) span.add(value);
  }
  Axis up = chart.y;
  up.from_zero = true;
  const FittedAxis axis = fit_axis(up, span);
  const ChartFrame frame = frame_for(axis, chart.height);
  std::string svg = svg_begin(frame, chart.name, "", nullptr, axis) + y_axis_svg(frame, axis);
  for (std::size_t i = 0; i < chart.categories.size(); ++i)
    svg += category_svg(chart, i, axis, frame);
  return svg + line_svg(frame.left, frame.bottom, frame.right, frame.bottom, "base") +
         category_labels(chart, frame) + x_title_svg(frame, chart.x_title) + "</svg>\n";
}

}  // namespace hetmoe
