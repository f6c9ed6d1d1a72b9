#pragma once

#include <string>
#include <vector>

#include "runtime/report/chart/axis.h"

namespace hetmoe {

/// A piece of a row, as wide as its size.
struct RowPart {
  double size = 0;
  std::string colour;
  std::string name;   ///< shown when pointing at it
  std::string label;  ///< written on it where there is room
};

struct FilledRow {
  std::string name;  ///< at the left; empty: belongs to the row above
  std::vector<RowPart> parts;
};

/// Rows filled from the left at one scale: what each rank holds.
struct FilledRows {
  std::string name;
  Axis x;  ///< from zero
  std::vector<FilledRow> rows;
  double row_height = 16;
};

std::string filled_rows_svg(const FilledRows& chart);

}  // namespace hetmoe
