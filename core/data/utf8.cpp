#include "core/data/utf8.h"

namespace hetmoe {
namespace {

struct Lead {
  std::size_t bytes;
  unsigned char second_low;
  unsigned char second_high;
};

// The range of the second byte is what excludes overlong forms, surrogates and too large points.
Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

}  // namespace

std::size_t utf8_character_bytes(std::string_view text, std::size_t position) {
  if (position >= text.size()) return 0;
  const Lead lead = lead_of(static_cast<unsigned char>(text[position]));
  if (lead.bytes <= 1) return lead.bytes;
  if (text.size() - position < lead.bytes) return 0;
  const auto second = static_cast<unsigned char>(text[position + 1]);
  if (second < lead.second_low || second > lead.second_high) return 0;
  for (std::size_t i = 2; i < lead.bytes; ++i) {
    if (!continues(text[position + i])) return 0;
  }
  return lead.bytes;
}

std::size_t first_invalid_utf8(std::string_view text) {
  std::size_t position = 0;
  while (position < text.size()) {
    const std::size_t bytes = utf8_character_bytes(text, position);
    if (bytes == 0) return position;
    position += bytes;
  }
  return position;
}

std::size_t utf8_cut(std::string_view text, std::size_t limit) {
  if (limit >= text.size()) return text.size();
  for (std::size_t back = 0; back < 4 && back < limit; ++back) {
    if (!continues(text[limit - back])) return limit - back;
  }
  return limit;
}

}  // namespace hetmoe
