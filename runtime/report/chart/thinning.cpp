#include "runtime/report/chart/thinning.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>

namespace hetmoe {
namespace {

using Points = std::span<const Point>;

/// Calls `visit` with the points of each part of the x range that holds any.
void for_each_column(const std::vector<Point>& points, int columns,
                     const std::function<void(Points)>& visit) {
  const double first = points.front().x;
  const double width = (points.back().x - first) / columns;
  const auto column_of = [&](const Point& point) {
    return width > 0 ? std::min(columns - 1, static_cast<int>((point.x - first) / width)) : 0;
  };
  for (std::size_t begin = 0; begin < points.size();) {
    const int column = column_of(points[begin]);
    std::size_t end = begin + 1;
    while (end < points.size() && column_of(points[end]) == column) ++end;
    visit(Points(points).subspan(begin, end - begin));
    begin = end;
  }
}

void add_extremes(std::vector<Point>& kept, Points column) {
  const Point* least = nullptr;
  const Point* largest = nullptr;
  for (const Point& point : column) {
    if (!std::isfinite(point.y)) continue;
    if (!least || point.y < least->y) least = &point;
    if (!largest || point.y > largest->y) largest = &point;
  }
  if (!least) {
    kept.push_back({column.front().x, std::numeric_limits<double>::quiet_NaN()});
    return;
  }
  kept.push_back(*std::min(least, largest));
  if (least != largest) kept.push_back(*std::max(least, largest));
}

}  // namespace

std::vector<Point> thinned(const std::vector<Point>& points, int columns) {
  if (points.size() <= 2 * static_cast<std::size_t>(columns)) return points;
  std::vector<Point> kept;
  for_each_column(points, columns, [&](Points column) { add_extremes(kept, column); });
  return kept;
}

std::vector<Point> column_means(const std::vector<Point>& points, int columns) {
  std::vector<Point> means;
  if (points.empty()) return means;
  for_each_column(points, columns, [&](Points column) {
    Point sum;
    double count = 0;
    for (const Point& point : column) {
      if (!std::isfinite(point.y)) continue;
      sum.x += point.x;
      sum.y += point.y;
      ++count;
    }
    if (count > 0) means.push_back({sum.x / count, sum.y / count});
  });
  return means;
}

}  // namespace hetmoe
