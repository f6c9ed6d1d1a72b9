#pragma once

#include <string>
#include <vector>

#include "runtime/report/chart/axis.h"

namespace hetmoe {

struct StackedLayer {
  std::string name;
  std::string colour;
  std::vector<double> values;  ///< one for each x; not finite counts as 0
};

/// Parts of a whole over time, the first layer at the bottom.
struct StackedArea {
  std::string name;
  Axis x;
  Axis y;                  ///< from zero
  std::vector<double> at;  ///< rising
  std::vector<StackedLayer> layers;
};

/// Of long series columns of neighbours share a mean. The vertical axis ends a little above what 98
/// of 100 columns reach: one slow step must not flatten all others.
std::string stacked_area_svg(const StackedArea& chart);

}  // namespace hetmoe
