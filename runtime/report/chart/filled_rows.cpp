#include "runtime/report/chart/filled_rows.h"

#include <algorithm>
#include <cmath>

#include "runtime/report/chart/frame.h"
#include "runtime/report/chart/svg_text.h"

namespace hetmoe {
namespace {

constexpr double kGroupGap = 5, kRowGap = 1, kLetterWidth = 6.6;

double size_of(const RowPart& part) {
  return std::isfinite(part.size) ? std::max(part.size, 0.0) : 0;
}

double above(const FilledRow& row) { return row.name.empty() ? kRowGap : kGroupGap; }

double longest_name(const FilledRows& chart) {
  std::size_t letters = 1;
  for (const FilledRow& row : chart.rows) letters = std::max(letters, row.name.size());
  return kLetterWidth * static_cast<double>(letters);
}

std::string label_svg(const RowPart& part, double x, double width, double y, double height) {
  const double needed = kLetterWidth * static_cast<double>(part.label.size()) + 4;
  if (part.label.empty() || width < needed || height < 11) return "";
  return text_svg(x + width / 2, y + height / 2 + 4, "middle onbox", part.label);
}

std::string row_svg(const FilledRow& row, const FittedAxis& axis, const ChartFrame& frame, double y,
                    double height) {
  std::string svg = text_svg(frame.left - 6, y + 4 + std::min(height, 14.0) / 2, "end", row.name);
  double filled = 0;
  for (const RowPart& part : row.parts) {
    const double x = frame.x(axis.position(filled));
    filled += size_of(part);
    const double width = frame.x(axis.position(filled)) - x;
    if (width < 0.05) continue;
    svg += "<g><title>" + escaped(part.name) + "</title><rect x=\"" + coordinate(x) + "\" y=\"" +
           coordinate(y) + "\" width=\"" + coordinate(width) + "\" height=\"" + coordinate(height) +
           "\" class=\"box cut " + part.colour + "\"/>" + label_svg(part, x, width, y, height) +
           "</g>\n";
  }
  return svg;
}

}  // namespace

std::string filled_rows_svg(const FilledRows& chart) {
  if (chart.rows.empty()) return "";
  ValueSpan span;
  double height = 0;
  for (const FilledRow& row : chart.rows) {
    double size = 0;
    for (const RowPart& part : row.parts) size += size_of(part);
    span.add(size);
    height += above(row) + chart.row_height;
  }
  Axis across = chart.x;
  across.from_zero = true;
  across.rounded_ends = false;
  const FittedAxis axis = fit_axis(across, span);
  ChartFrame frame;
  frame.left = 10 + longest_name(chart);
  frame.top = 0;
  frame.bottom = height + kGroupGap;
  frame.height = frame.bottom + 38;
  std::string svg = svg_begin(frame, chart.name, "", nullptr, axis);
  double y = 0;
  for (const FilledRow& row : chart.rows) {
    y += above(row);
    svg += row_svg(row, axis, frame, y, chart.row_height);
    y += chart.row_height;
  }
  return svg + x_axis_svg(frame, axis) + "</svg>\n";
}

}  // namespace hetmoe
