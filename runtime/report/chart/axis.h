#pragma once

#include <optional>
#include <string>
#include <vector>

namespace hetmoe {

/// What numbers of an axis are, which decides their unit: 0.004 s is shown as 4 ms.
enum class Quantity { kNumber, kSeconds, kBytes, kRatio };

enum class Scale { kLinear, kLogarithmic };

/// An axis as asked for.
struct Axis {
  std::string title;
  Quantity quantity = Quantity::kNumber;
  Scale scale = Scale::kLinear;
  bool from_zero = false;             ///< zero is on it (linear only)
  bool whole = false;                 ///< only whole numbers have a meaning: no ticks between
  bool rounded_ends = true;           ///< ends at ticks; else where the values end
  std::optional<double> least_upper;  ///< reaches at least so far
  std::optional<double> cut_above;    ///< ends here, whatever lies beyond
};

Axis axis_of(std::string title);
Axis axis_from_zero(std::string title, Quantity quantity = Quantity::kNumber);
Axis logarithmic_axis(std::string title);

struct Tick {
  double value = 0;
  std::string label;
};

/// An axis with its ends and ticks.
struct FittedAxis {
  std::string title;  ///< with the unit
  std::string unit;   ///< "ms"; empty: the number says all
  double unit_size = 1;
  Scale scale = Scale::kLinear;
  double lowest = 0;
  double highest = 1;
  std::vector<Tick> ticks;

  /// 0 at the lowest, 1 at the highest value; beyond them outside; nan where a logarithm has none.
  double position(double value) const;
};

/// The least and the largest of values; those that are not finite are left out.
class ValueSpan {
 public:
  /// `positive_only`: for a logarithmic axis.
  explicit ValueSpan(bool positive_only = false) : positive_only_(positive_only) {}
  void add(double value);
  bool empty() const { return empty_; }
  double lowest() const { return lowest_; }
  double highest() const { return highest_; }

 private:
  bool positive_only_;
  bool empty_ = true;
  double lowest_ = 0;
  double highest_ = 0;
};

/// Three to eight ticks at round values: 1, 2 or 5 times a power of ten in the axis' unit; of a
/// logarithmic axis powers of ten, with 2 and 5 times them where those are few.
/// A logarithmic axis without positive values becomes a linear one.
FittedAxis fit_axis(const Axis& axis, const ValueSpan& span);

/// The distance between round ticks: 1, 2 or 5 times a power of ten, the largest that fits at least
/// `least` times into `range`; range > 0.
double round_distance(double range, int least);

/// A number with as many digits as tell ticks of that distance apart: "0.25", "2e-05".
std::string tick_text(double value, double distance);

}  // namespace hetmoe
