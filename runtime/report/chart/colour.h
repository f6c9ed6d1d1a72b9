#pragma once

#include <string>

namespace hetmoe {

/// Ten colours that stay apart for the colour-blind, in light and in dark, and a ramp of twelve
/// from dark to bright for what has an order.
inline constexpr int kCategoryColours = 10;
inline constexpr int kRampColours = 12;

/// The class of a shape: what it means, not how it looks. The look is in chart_style().
std::string category_class(int index);  ///< repeats after kCategoryColours
std::string ramp_class(double place);   ///< 0 to 1

/// CSS of all charts, without its tag: the colours as variables, by prefers-color-scheme.
std::string chart_style();

}  // namespace hetmoe
