#include "runtime/report/chart/frame.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "runtime/report/chart/svg_text.h"

namespace hetmoe {
namespace {

constexpr double kLetterWidth = 6.3;  ///< of a figure in 11 pixels, on the generous side

std::string attribute(const char* name, double value) {
  return std::string(" ") + name + "=\"" + coordinate(value) + "\"";
}

/// "lowest highest log unit" in the axis' unit.
std::string axis_attribute(const char* name, const FittedAxis& axis) {
  std::array<char, 128> ends{};
  std::snprintf(ends.data(), ends.size(), "%.9g %.9g %d ", axis.lowest / axis.unit_size,
                axis.highest / axis.unit_size, axis.scale == Scale::kLogarithmic ? 1 : 0);
  return std::string(" ") + name + "=\"" + ends.data() + escaped(axis.unit) + "\"";
}

}  // namespace

ChartFrame frame_for(const FittedAxis& y, double height) {
  std::size_t letters = 2;
  for (const Tick& tick : y.ticks) letters = std::max(letters, tick.label.size());
  ChartFrame frame;
  frame.height = height;
  frame.bottom = height - 38;
  if (y.title.empty()) frame.top = 10;
  frame.left = std::min(90.0, 12 + kLetterWidth * static_cast<double>(letters));
  return frame;
}

std::string svg_begin(const ChartFrame& frame, const std::string& name, const std::string& kind,
                      const FittedAxis* x, const FittedAxis& y) {
  std::string svg = "<svg class=\"chart\" viewBox=\"0 0 " + coordinate(frame.width) + " " +
                    coordinate(frame.height) + "\" role=\"img\" aria-label=\"" + escaped(name) +
                    "\"";
  if (x != nullptr) {
    svg += " data-kind=\"" + kind + "\" data-frame=\"" + coordinate(frame.left) + " " +
           coordinate(frame.top) + " " + coordinate(frame.right) + " " + coordinate(frame.bottom) +
           "\"" + axis_attribute("data-x", *x) + axis_attribute("data-y", y) + " data-title=\"" +
           escaped(x->title) + "\"";
  }
  return svg + ">\n";
}

std::string y_axis_svg(const ChartFrame& frame, const FittedAxis& axis) {
  std::string svg = text_svg(2, 12, "", axis.title);
  for (const Tick& tick : axis.ticks) {
    const double y = frame.y(axis.position(tick.value));
    if (y < frame.top - 0.5) continue;
    svg += line_svg(frame.left, y, frame.right, y, "grid");
    svg += text_svg(frame.left - 5, y + 4, "end", tick.label);
  }
  return svg;
}

std::string x_axis_svg(const ChartFrame& frame, const FittedAxis& axis) {
  std::string svg = line_svg(frame.left, frame.bottom, frame.right, frame.bottom, "base");
  for (const Tick& tick : axis.ticks) {
    const double x = frame.x(axis.position(tick.value));
    const double half = kLetterWidth * static_cast<double>(tick.label.size() + 1) / 2;
    svg += line_svg(x, frame.bottom, x, frame.bottom + 3, "base");
    svg += text_svg(std::min(x, frame.width - half), frame.bottom + 15, "middle", tick.label);
  }
  return svg + x_title_svg(frame, axis.title);
}

std::string x_title_svg(const ChartFrame& frame, const std::string& title) {
  return text_svg((frame.left + frame.right) / 2, frame.bottom + 31, "middle", title);
}

std::string text_svg(double x, double y, const std::string& css_class, const std::string& text) {
  if (text.empty()) return "";
  return "<text" + attribute("x", x) + attribute("y", y) +
         (css_class.empty() ? "" : " class=\"" + css_class + "\"") + ">" + escaped(text) +
         "</text>\n";
}

std::string line_svg(double x1, double y1, double x2, double y2, const std::string& css_class) {
  return "<line" + attribute("x1", x1) + attribute("y1", y1) + attribute("x2", x2) +
         attribute("y2", y2) + " class=\"" + css_class + "\"/>\n";
}

std::string clipped_svg(const ChartFrame& frame, const std::string& inside) {
  const double width = frame.right - frame.left, height = frame.bottom - frame.top;
  return "<svg" + attribute("x", frame.left) + attribute("y", frame.top) +
         attribute("width", width) + attribute("height", height) + " viewBox=\"" +
         coordinate(frame.left) + " " + coordinate(frame.top) + " " + coordinate(width) + " " +
         coordinate(height) + "\">\n" + inside + "</svg>\n";
}

}  // namespace hetmoe
