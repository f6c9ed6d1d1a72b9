#pragma once

#include <string>

#include "runtime/report/chart/axis.h"

namespace hetmoe {

/// The drawing of a chart: its size and the rectangle that values fill. Units of the viewBox; a
/// page scales it to its column.
struct ChartFrame {
  double width = 420;
  double height = 236;
  double left = 40;
  double right = 405;
  double top = 24;
  double bottom = 198;

  double x(double place) const { return left + place * (right - left); }
  double y(double place) const { return bottom - place * (bottom - top); }
};

/// With room at the left for the widest label.
ChartFrame frame_for(const FittedAxis& y, double height = 236);

/// The opening tag, with what a page's script needs to read values off a line.
std::string svg_begin(const ChartFrame& frame, const std::string& name, const std::string& kind,
                      const FittedAxis* x, const FittedAxis& y);
/// Grid, labels and title of the vertical axis.
std::string y_axis_svg(const ChartFrame& frame, const FittedAxis& axis);
std::string x_axis_svg(const ChartFrame& frame, const FittedAxis& axis);
std::string x_title_svg(const ChartFrame& frame, const std::string& title);

std::string text_svg(double x, double y, const std::string& css_class, const std::string& text);
std::string line_svg(double x1, double y1, double x2, double y2, const std::string& css_class);

/// What is inside is cut off at the frame's rectangle.
std::string clipped_svg(const ChartFrame& frame, const std::string& inside);

}  // namespace hetmoe
