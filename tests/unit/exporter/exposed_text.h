#pragma once

#include <optional>
#include <sstream>
#include <string>

namespace hetmoe {

/// The value of one series in Prometheus' text format, such as `a_total{x="1"}`, read by a reader
/// of our own; nothing: no such series.
inline std::optional<double> value_of(const std::string& text, const std::string& series) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(series + " ")) return std::stod(line.substr(series.size() + 1));
  }
  return {};
}

}  // namespace hetmoe
