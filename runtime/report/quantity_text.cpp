#include "runtime/report/quantity_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <span>
#include <sstream>

namespace hetmoe {
namespace {

std::string non_finite_text(double value) {
  if (std::isnan(value)) return "nan";
  return value > 0 ? "inf" : "-inf";
}

/// Three significant digits with the first unit that keeps them below `base`. Rounding comes before
/// the choice: 999,999 is 1.00 M and not 1000 k.
std::string scaled_text(double value, double base, std::span<const char* const> units) {
  std::size_t unit = 0;
  double magnitude = std::abs(value);
  while (unit + 1 < units.size() && std::round(magnitude) >= base) {
    magnitude /= base;
    ++unit;
  }
  int digits = 0;
  if (unit > 0 && magnitude < 99.95) digits = magnitude < 9.995 ? 2 : 1;
  std::string text = fixed_text(value < 0 ? -magnitude : magnitude, digits);
  if (*units[unit] != '\0') text.append(" ").append(units[unit]);
  return text;
}

std::string pair_text(long long large, const char* large_unit, long long small,
                      const char* small_unit) {
  std::ostringstream text;
  text << large << ' ' << large_unit << ' ' << std::setw(2) << std::setfill('0') << small << ' '
       << small_unit;
  return text.str();
}

}  // namespace

std::string count_text(double count) {
  if (!std::isfinite(count)) return non_finite_text(count);
  constexpr std::array kUnits = {"", "k", "M", "G", "T"};
  return scaled_text(count, 1000.0, kUnits);
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds)) return non_finite_text(seconds);
  seconds = std::max(seconds, 0.0);
  if (seconds < 9.95) return fixed_text(seconds, 1) + " s";
  const long long whole = std::llround(std::min(seconds, 1e15));
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return pair_text(whole / 60, "min", whole % 60, "s");
  if (whole < 86400) return pair_text(whole / 3600, "h", whole % 3600 / 60, "min");
  return pair_text(whole / 86400, "d", whole % 86400 / 3600, "h");
}

std::string short_duration_text(double seconds) {
  if (!std::isfinite(seconds)) return non_finite_text(seconds);
  constexpr std::array kUnits = {"us", "ms", "s"};
  return scaled_text(seconds * 1e6, 1000.0, kUnits);
}

std::string bytes_text(std::int64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  return scaled_text(static_cast<double>(bytes), 1024.0, kUnits);
}

std::string fixed_text(double value, int digits) {
  if (!std::isfinite(value)) return non_finite_text(value);
  std::ostringstream text;
  text << std::fixed << std::setprecision(digits) << value;
  return text.str();
}

std::string percent_text(double ratio) { return fixed_text(100.0 * ratio, 1) + " %"; }

std::string right_aligned(const std::string& text, std::size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

std::string left_aligned(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, text.size()), ' ');
}

}  // namespace hetmoe
