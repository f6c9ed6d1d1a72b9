#pragma once

#include <cstdint>
#include <string>

namespace hetmoe {

/// Numbers as people read them. A value that is not finite gives "nan", "inf" or "-inf".

/// Three significant digits and k, M, G or T: "512", "45.6 k", "1.23 M". Below 1000: a whole
/// number.
std::string count_text(double count);

/// "0.4 s", "12 s", "3 min 20 s", "2 h 05 min", "3 d 04 h". Negative counts as zero.
std::string duration_text(double seconds);

/// "0 us", "512 us", "45.6 ms", "1.23 s": three significant digits, for parts of a step.
std::string short_duration_text(double seconds);

/// "512 B", "812 MiB", "1.23 GiB".
std::string bytes_text(std::int64_t bytes);

/// With that many digits after the point.
std::string fixed_text(double value, int digits);

/// "50.3 %" for 0.503.
std::string percent_text(double ratio);

/// Blanks before (or after) the text up to that width; a longer text stays whole.
std::string right_aligned(const std::string& text, std::size_t width);
std::string left_aligned(const std::string& text, std::size_t width);

}  // namespace hetmoe
