#include "runtime/report/chart/axis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

namespace hetmoe {
namespace {

constexpr int kLeastTicks = 3;
constexpr double kRounding = 1e-9;  ///< of a tick's distance: sums of decimals are not exact

struct Unit {
  const char* name;
  double size;
};

constexpr std::array kPrefixes = {Unit{"", 1}, Unit{"k", 1e3}, Unit{"M", 1e6}, Unit{"G", 1e9},
                                  Unit{"T", 1e12}};
constexpr std::array kSeconds = {Unit{"us", 1e-6}, Unit{"ms", 1e-3}, Unit{"s", 1},
                                 Unit{"min", 60},  Unit{"h", 3600},  Unit{"d", 86400}};
constexpr std::array kBytes = {Unit{"B", 1}, Unit{"KiB", 1024.0}, Unit{"MiB", 1048576.0},
                               Unit{"GiB", 1073741824.0}, Unit{"TiB", 1099511627776.0}};

/// The largest unit of which `highest` holds at least `least`.
template <std::size_t kCount>
Unit largest_unit(const std::array<Unit, kCount>& units, double highest, double least) {
  Unit found = units.front();
  for (const Unit& unit : units) {
    if (highest >= least * unit.size) found = unit;
  }
  return found;
}

Unit unit_of(Quantity quantity, double highest) {
  switch (quantity) {
    case Quantity::kSeconds:
      return largest_unit(kSeconds, highest, 2);
    case Quantity::kBytes:
      return largest_unit(kBytes, highest, 2);
    case Quantity::kRatio:
      return {"%", 0.01};
    case Quantity::kNumber:
      break;
  }
  return {"", 1};
}

std::string printed(const char* pattern, int digits, double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), pattern, digits, value);
  return text.data();
}

/// "20k", "1.5M": ticks of one axis share the prefix of the largest.
std::string label_of(double value, double distance, double highest) {
  if (std::abs(value) < distance / 2) return "0";
  const Unit prefix = highest < 1e4 ? kPrefixes.front() : largest_unit(kPrefixes, highest, 1);
  return tick_text(value / prefix.size, distance / prefix.size) + prefix.name;
}

void add_linear_ticks(FittedAxis& axis, double distance) {
  const double low = axis.lowest / axis.unit_size, high = axis.highest / axis.unit_size;
  const double highest = std::max(std::abs(low), std::abs(high));
  const double first = std::ceil(low / distance - kRounding);
  for (int i = 0; i < 64 && (first + i) * distance <= high + kRounding * distance; ++i) {
    const double value = (first + i) * distance;
    axis.ticks.push_back({value * axis.unit_size, label_of(value, distance, highest)});
  }
}

void fit_linear(FittedAxis& fitted, const Axis& axis) {
  double low = fitted.lowest / fitted.unit_size, high = fitted.highest / fitted.unit_size;
  if (high - low <= 1e-12 * std::max(std::abs(low), std::abs(high))) {
    const double room = low == 0 ? 1 : std::abs(low) / 2;
    if (!axis.from_zero || low < 0) low -= axis.rounded_ends ? room : 0;
    high += room;
  }
  double distance = round_distance(high - low, kLeastTicks);
  if (axis.whole) distance = std::max(1.0, std::round(distance));
  if (axis.rounded_ends) {
    low = std::floor(low / distance + kRounding) * distance;
    if (!axis.cut_above) high = std::ceil(high / distance - kRounding) * distance;
  }
  fitted.lowest = low * fitted.unit_size;
  fitted.highest = high * fitted.unit_size;
  add_linear_ticks(fitted, distance);
}

void add_multiples(FittedAxis& axis, std::initializer_list<int> factors) {
  axis.ticks.clear();
  const int first = static_cast<int>(std::floor(std::log10(axis.lowest))) - 1;
  const int last = static_cast<int>(std::ceil(std::log10(axis.highest)));
  const int every = std::max(1, (last - first) / 8);
  for (int power = first; power <= last; ++power) {
    if (power % every != 0) continue;
    for (const int factor : factors) {
      const double value = factor * std::pow(10, power);
      if (value < axis.lowest * (1 - kRounding) || value > axis.highest * (1 + kRounding)) continue;
      const bool is_plain = value >= 0.999e-3 && value < 1e4;
      axis.ticks.push_back({value, is_plain ? printed("%.*g", 4, value)
                                            : label_of(value, value, std::max(value, 1.0))});
    }
  }
}

void fit_logarithmic(FittedAxis& fitted) {
  if (fitted.highest < 1.2 * fitted.lowest) {
    fitted.lowest /= 1.5;
    fitted.highest *= 1.5;
  }
  add_multiples(fitted, {1});
  if (fitted.ticks.size() < 3) add_multiples(fitted, {1, 2, 5});
  if (fitted.ticks.size() < 2) {
    fitted.ticks.clear();
    add_linear_ticks(fitted, round_distance(fitted.highest - fitted.lowest, kLeastTicks));
  }
}

}  // namespace

Axis axis_of(std::string title) {
  Axis axis;
  axis.title = std::move(title);
  return axis;
}

Axis axis_from_zero(std::string title, Quantity quantity) {
  Axis axis = axis_of(std::move(title));
  axis.quantity = quantity;
  axis.from_zero = true;
  return axis;
}

Axis logarithmic_axis(std::string title) {
  Axis axis = axis_of(std::move(title));
  axis.scale = Scale::kLogarithmic;
  return axis;
}

void ValueSpan::add(double value) {
  if (!std::isfinite(value) || (positive_only_ && value <= 0)) return;
  lowest_ = empty_ ? value : std::min(lowest_, value);
  highest_ = empty_ ? value : std::max(highest_, value);
  empty_ = false;
}

double FittedAxis::position(double value) const {
  if (scale == Scale::kLinear) return (value - lowest) / (highest - lowest);
  if (!(value > 0)) return std::nan("");
  return std::log(value / lowest) / std::log(highest / lowest);
}

FittedAxis fit_axis(const Axis& axis, const ValueSpan& span) {
  FittedAxis fitted;
  fitted.scale = span.empty() ? Scale::kLinear : axis.scale;
  fitted.lowest = span.empty() ? 0 : span.lowest();
  fitted.highest = span.empty() ? 1 : span.highest();
  if (axis.least_upper) fitted.highest = std::max(fitted.highest, *axis.least_upper);
  if (axis.cut_above && *axis.cut_above > fitted.lowest) fitted.highest = *axis.cut_above;
  if (axis.from_zero && fitted.scale == Scale::kLinear) {
    fitted.lowest = std::min(fitted.lowest, 0.0);
    fitted.highest = std::max(fitted.highest, 0.0);
  }
  const Unit unit =
      unit_of(axis.quantity, std::max(std::abs(fitted.lowest), std::abs(fitted.highest)));
  fitted.unit = unit.name;
  fitted.unit_size = unit.size;
  fitted.title = axis.title + (fitted.unit.empty() ? "" : " (" + fitted.unit + ")");
  if (fitted.scale == Scale::kLinear) {
    fit_linear(fitted, axis);
  } else {
    fit_logarithmic(fitted);
  }
  return fitted;
}

double round_distance(double range, int least) {
  const double power = std::pow(10, std::floor(std::log10(range / least)));
  for (const double factor : {5.0, 2.0}) {
    if (range / (factor * power) >= least) return factor * power;
  }
  return power;
}

std::string tick_text(double value, double distance) {
  const int digits = std::max(0, -static_cast<int>(std::floor(std::log10(distance) + kRounding)));
  if (digits <= 4) return printed("%.*f", digits, value);
  const double magnitude = std::floor(std::log10(std::abs(value)) + kRounding);
  return printed("%.*e", std::max(0, static_cast<int>(magnitude) + digits), value);
}

}  // namespace hetmoe
