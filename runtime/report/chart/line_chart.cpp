#include "runtime/report/chart/line_chart.h"

#include <algorithm>
#include <cmath>

#include "runtime/report/chart/frame.h"
#include "runtime/report/chart/svg_text.h"

namespace hetmoe {
namespace {

constexpr int kColumns = 280;  ///< about the pixels of a chart on a telephone
constexpr std::size_t kMostDots = 60;
constexpr std::size_t kMostMarks = 200;

struct Axes {
  FittedAxis x;
  FittedAxis y;
  ChartFrame frame;
};

Axes axes_of(const LineChart& chart) {
  ValueSpan across(chart.x.scale == Scale::kLogarithmic), up(chart.y.scale == Scale::kLogarithmic);
  for (const Series& series : chart.series) {
    for (const Point& point : series.points) {
      across.add(point.x);
      up.add(point.y);
    }
  }
  Axes axes{.x = fit_axis(chart.x, across), .y = fit_axis(chart.y, up), .frame = {}};
  axes.frame = frame_for(axes.y);
  return axes;
}

/// "M1 2L3 4"; a lone point between two gaps gets a length, or it could not be seen.
std::string path_of(const std::vector<Point>& points, const Axes& axes) {
  std::string path, last;
  bool drawing = false;
  for (const Point& point : points) {
    const double x = axes.x.position(point.x), y = axes.y.position(point.y);
    if (!std::isfinite(x) || !std::isfinite(y)) {
      drawing = false;
      continue;
    }
    const std::string place =
        coordinate(axes.frame.x(x)) + " " + coordinate(axes.frame.y(std::clamp(y, -9.0, 9.0)));
    path += (drawing ? "L" : "M") + place + (drawing ? "" : "h.1");
    if (drawing && place == last) path.resize(path.size() - place.size() - 1);
    last = place;
    drawing = true;
  }
  return path;
}

std::string dots_svg(const Series& series, const Axes& axes) {
  std::string svg;
  for (const Point& point : series.points) {
    const double x = axes.x.position(point.x), y = axes.y.position(point.y);
    if (!std::isfinite(x) || !std::isfinite(y)) continue;
    svg += "<circle cx=\"" + coordinate(axes.frame.x(x)) + "\" cy=\"" +
           coordinate(axes.frame.y(y)) + "\" r=\"2.6\" class=\"dot " + series.colour + "\"/>";
  }
  return svg + "\n";
}

std::string series_svg(const Series& series, const Axes& axes) {
  const std::string path = path_of(thinned(series.points, kColumns), axes);
  if (path.empty()) return "";
  const bool is_faint = series.style == LineStyle::kFaint;
  std::string svg = "<path class=\"" + std::string(is_faint ? "faint " : "line ") + series.colour +
                    "\" data-name=\"" + escaped(series.name) + "\" d=\"" + path + "\"/>\n";
  if (series.style == LineStyle::kDots && series.points.size() <= kMostDots)
    svg += dots_svg(series, axes);
  return svg;
}

std::string marks_svg(const LineChart& chart, const Axes& axes) {
  if (chart.marks.size() > kMostMarks) return "";
  std::string svg;
  for (const Mark& mark : chart.marks) {
    const double place = axes.x.position(mark.x);
    if (!(place >= 0 && place <= 1)) continue;
    const double x = axes.frame.x(place);
    svg += "<g><title>" + escaped(mark.name) + "</title>" +
           line_svg(x, axes.frame.top, x, axes.frame.bottom, "mark") + "</g>\n";
  }
  return svg;
}

}  // namespace

std::string line_chart_svg(const LineChart& chart) {
  const Axes axes = axes_of(chart);
  std::string lines = marks_svg(chart, axes);
  for (const Series& series : chart.series) lines += series_svg(series, axes);
  return svg_begin(axes.frame, chart.name, "lines", &axes.x, axes.y) +
         y_axis_svg(axes.frame, axes.y) + x_axis_svg(axes.frame, axes.x) +
         (chart.y.cut_above ? clipped_svg(axes.frame, lines) : lines) + "</svg>\n";
}

}  // namespace hetmoe
