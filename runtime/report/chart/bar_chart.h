#pragma once

#include <string>
#include <vector>

#include "runtime/report/chart/axis.h"

namespace hetmoe {

/// One colour of bars, one bar for each category.
struct BarSeries {
  std::string name;
  std::string colour;
  std::vector<double> values;  ///< not finite: no bar
};

/// Bars side by side for each category, from zero.
struct BarChart {
  std::string name;
  std::string x_title;
  Axis y;
  std::vector<std::string> categories;
  std::vector<BarSeries> series;
  double height = 236;
};

/// SVG; pointing at a category shows its values. At most some hundred bars are readable: the
/// caller puts neighbours together.
std::string bar_chart_svg(const BarChart& chart);

}  // namespace hetmoe
