#pragma once

#include <string>
#include <vector>

#include "runtime/report/chart/axis.h"
#include "runtime/report/chart/thinning.h"

namespace hetmoe {

enum class LineStyle { kLine, kFaint, kDots };

struct Series {
  std::string name;
  std::string colour;  ///< category_class or ramp_class
  std::vector<Point> points;
  LineStyle style = LineStyle::kLine;
};

/// Something that happened at an x, drawn as a dashed line.
struct Mark {
  double x = 0;
  std::string name;  ///< shown when pointing at it
};

struct LineChart {
  std::string name;  ///< for those who hear the page
  Axis x;
  Axis y;
  std::vector<Series> series;
  std::vector<Mark> marks;
};

/// SVG with lines over common axes, thinned to what can be seen. Values that are not finite, or not
/// positive on a logarithmic axis, break their line.
std::string line_chart_svg(const LineChart& chart);

}  // namespace hetmoe
