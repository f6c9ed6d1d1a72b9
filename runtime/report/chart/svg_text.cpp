#include "runtime/report/chart/svg_text.h"

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>

namespace hetmoe {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";

bool is_continuation(char letter) { return (static_cast<unsigned char>(letter) & 0xC0) == 0x80; }

/// Bytes of the UTF-8 sequence at the start of `text`; 0: there is none. Overlong forms,
/// surrogates and what lies beyond Unicode are none.
std::size_t sequence_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t bytes = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  if (bytes == 0 || first > 0xF4 || text.size() < bytes) return 0;
  for (std::size_t i = 1; i < bytes; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  const bool overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool surrogate = first == 0xED && byte(1) > 0x9F;
  const bool beyond = first == 0xF4 && byte(1) > 0x8F;
  return overlong || surrogate || beyond ? 0 : bytes;
}

bool is_control(std::string_view sequence) {
  const auto first = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 2) return first == 0xC2 && static_cast<unsigned char>(sequence[1]) < 0xA0;
  return (first < 0x20 && first != '\t' && first != '\n') || first == 0x7F;
}

const char* entity_of(char letter) {
  switch (letter) {
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '&':
      return "&amp;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return nullptr;
  }
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  while (!text.empty()) {
    const std::size_t bytes = sequence_bytes(text);
    const std::string_view sequence = text.substr(0, bytes == 0 ? 1 : bytes);
    if (bytes == 0 || is_control(sequence)) {
      safe += kReplacement;
    } else if (const char* entity = entity_of(sequence[0])) {
      safe += entity;
    } else {
      safe += sequence;
    }
    text.remove_prefix(sequence.size());
  }
  return safe;
}

std::string coordinate(double value) {
  const double tenths = std::round(value * 10);
  if (!std::isfinite(tenths) || tenths == 0) return "0";
  std::array<char, 64> text{};
  const bool is_whole = std::fmod(tenths, 10) == 0;
  std::snprintf(text.data(), text.size(), is_whole ? "%.0f" : "%.1f", tenths / 10);
  return text.data();
}

}  // namespace hetmoe
