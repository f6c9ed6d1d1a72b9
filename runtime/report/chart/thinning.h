#pragma once

#include <vector>

namespace hetmoe {

/// A point of a line; y not finite: the line is broken there.
struct Point {
  double x = 0;
  double y = 0;
};

/// What a screen can show of a long line: of each of `columns` equal parts of the x range the first
/// least and the first largest value, in the order they came, so that no peak is lost. Short lines
/// come back as they are. x must not fall.
std::vector<Point> thinned(const std::vector<Point>& points, int columns);

/// The mean of the finite values of each of `columns` equal parts of the x range, at the mean of
/// their x; parts without any are left out.
std::vector<Point> column_means(const std::vector<Point>& points, int columns);

}  // namespace hetmoe
