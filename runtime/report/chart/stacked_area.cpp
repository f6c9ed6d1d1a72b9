#include "runtime/report/chart/stacked_area.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>

#include "runtime/report/chart/frame.h"
#include "runtime/report/chart/svg_text.h"

namespace hetmoe {
namespace {

constexpr std::size_t kColumns = 110;

/// Heights of the layers' upper edges in each column, the first at the bottom.
struct Edges {
  std::vector<double> at;
  std::vector<std::vector<double>> upper;  ///< [layer][column]
};

double finite(double value) { return std::isfinite(value) ? std::max(value, 0.0) : 0; }

Edges edges_of(const StackedArea& chart) {
  const std::size_t count = chart.at.size(), columns = std::min(count, kColumns);
  Edges edges;
  edges.upper.resize(chart.layers.size());
  for (std::size_t column = 0; column < columns; ++column) {
    const std::size_t begin = column * count / columns, end = (column + 1) * count / columns;
    const auto members = static_cast<double>(end - begin);
    double at = 0, height = 0;
    for (std::size_t i = begin; i < end; ++i) at += chart.at[i] / members;
    edges.at.push_back(at);
    for (std::size_t layer = 0; layer < chart.layers.size(); ++layer) {
      for (std::size_t i = begin; i < end; ++i)
        height += finite(chart.layers[layer].values[i]) / members;
      edges.upper[layer].push_back(height);
    }
  }
  return edges;
}

/// Nothing where the highest column is not far above the others.
std::optional<double> cut_of(std::vector<double> tops) {
  std::sort(tops.begin(), tops.end());
  const double most = tops[(tops.size() - 1) * 98 / 100] * 1.15;
  if (tops.size() < 3 || tops.back() <= most) return {};
  return most;
}

std::string area_svg(const StackedLayer& layer, const std::vector<double>& at,
                     const std::vector<double>& upper, const FittedAxis& x, const FittedAxis& y,
                     const ChartFrame& frame) {
  std::string path;
  for (std::size_t i = 0; i < at.size(); ++i) {
    // Far beyond the axis is as good as beyond: the coordinate has to stay a sensible number.
    const double place = std::min(y.position(upper[i]), 9.0);
    path += (i == 0 ? "M" : "L") + coordinate(frame.x(x.position(at[i]))) + " " +
            coordinate(frame.y(place));
  }
  return "<path class=\"box " + layer.colour + "\" data-name=\"" + escaped(layer.name) + "\" d=\"" +
         path + "V" + coordinate(frame.bottom) + "H" + coordinate(frame.x(x.position(at.front()))) +
         "Z\"/>\n";
}

}  // namespace

std::string stacked_area_svg(const StackedArea& chart) {
  const Edges edges = edges_of(chart);
  if (edges.at.empty() || chart.layers.empty()) return "";
  Axis up = chart.y;
  up.from_zero = true;
  up.cut_above = cut_of(edges.upper.back());
  ValueSpan across, heights;
  for (const double at : edges.at) across.add(at);
  for (const double height : edges.upper.back()) heights.add(height);
  const FittedAxis x = fit_axis(chart.x, across), y = fit_axis(up, heights);
  const ChartFrame frame = frame_for(y);
  std::string areas;  // each down to the base, the highest first: those after it lie on top
  for (std::size_t layer = chart.layers.size(); layer-- > 0;)
    areas += area_svg(chart.layers[layer], edges.at, edges.upper[layer], x, y, frame);
  return svg_begin(frame, chart.name, "stack", &x, y) + y_axis_svg(frame, y) +
         clipped_svg(frame, areas) + x_axis_svg(frame, x) + "</svg>\n";
}

}  // namespace hetmoe
