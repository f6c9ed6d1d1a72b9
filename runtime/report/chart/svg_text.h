#pragma once

#include <string>
#include <string_view>

namespace hetmoe {

/// Text that may stand between tags and inside quoted attributes of SVG and HTML, whatever it
/// holds: the five characters of markup become entities; control characters (other than tab and
/// line feed) and bytes that are not UTF-8 become U+FFFD.
std::string escaped(std::string_view text);

/// A coordinate with at most one digit after the point, without a trailing ".0": a tenth of a unit
/// is finer than a pixel, and pages stay small.
std::string coordinate(double value);

}  // namespace hetmoe
