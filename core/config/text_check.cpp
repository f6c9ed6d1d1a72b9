#include "core/config/text_check.h"

#include <array>
#include <cstddef>
#include <cstdio>

namespace hetmoe {
namespace {

/// Bytes of the UTF-8 character at the start, 0 when it is none (overlong forms, surrogates and
/// what lies beyond U+10FFFF included).
std::size_t character_bytes(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned first = byte(0);
  const std::size_t size = first < 0x80   ? 1
                           : first < 0xC2 ? 0
                           : first < 0xE0 ? 2
                           : first < 0xF0 ? 3
                           : first < 0xF5 ? 4
                                          : 0;
  if (size == 0 || size > text.size()) return 0;
  for (std::size_t at = 1; at < size; ++at) {
    if ((byte(at) & 0xC0U) != 0x80) return 0;
  }
  if (first == 0xE0 && byte(1) < 0xA0) return 0;
  if (first == 0xED && byte(1) > 0x9F) return 0;
  if (first == 0xF0 && byte(1) < 0x90) return 0;
  if (first == 0xF4 && byte(1) > 0x8F) return 0;
  return size;
}

bool is_control(char byte) {
  const auto value = static_cast<unsigned char>(byte);
  return value == 0x7F || (value < 0x20 && byte != '\t' && byte != '\n' && byte != '\r');
}

}  // namespace

std::optional<TextFault> text_fault(std::string_view text) {
  int line = 1;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = character_bytes(text.substr(at));
    if (size == 0 || is_control(text[at])) {
      std::array<char, 8> hex{};
      std::snprintf(hex.data(), hex.size(), "0x%02x", static_cast<unsigned char>(text[at]));
      return TextFault{line, std::string("byte ") + hex.data() + ", allowed: UTF-8 text"};
    }
    if (text[at] == '\n') ++line;
    at += size;
  }
  return std::nullopt;
}

}  // namespace hetmoe
