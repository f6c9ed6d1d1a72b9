#include "runtime/tasks/python_text.h"

#include <locale.h>
#include <wctype.h>

#include <algorithm>

#include "core/base/check.h"
#include "core/data/utf8.h"

namespace hetmoe {
namespace {

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

/// A character and its bytes; a byte that is no UTF-8 stands for itself.
struct Character {
  char32_t point;
  std::size_t bytes;
};

Character character_at(std::string_view text, std::size_t position) {
  const auto first = static_cast<unsigned char>(text[position]);
  const std::size_t bytes = utf8_character_bytes(text, position);
  if (bytes <= 1) return {first, 1};
  char32_t point = first & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    point = (point << 6) | (static_cast<unsigned char>(text[position + i]) & 0x3FU);
  }
  return {point, bytes};
}

void append(std::string& text, char32_t point) {
  const auto byte = [&](char32_t bits) { text += static_cast<char>(bits); };
  if (point < 0x80) return byte(point);
  if (point < 0x800) {
    byte(0xC0 | (point >> 6));
  } else if (point < 0x10000) {
    byte(0xE0 | (point >> 12));
    byte(0x80 | ((point >> 6) & 0x3F));
  } else {
    byte(0xF0 | (point >> 18));
    byte(0x80 | ((point >> 12) & 0x3F));
    byte(0x80 | ((point >> 6) & 0x3F));
  }
  byte(0x80 | (point & 0x3F));
}

/// str.isspace: by Unicode's bidirectional classes and categories, so the separators of ASCII
/// count.
bool is_space(char32_t point) {
  constexpr char32_t kOthers[] = {0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
  return (point >= 0x09 && point <= 0x0D) || (point >= 0x1C && point <= 0x20) ||
         (point >= 0x2000 && point <= 0x200A) ||
         std::ranges::find(kOthers, point) != std::end(kOthers);
}

/// Of the C library, whose wide characters are Unicode's; it needs no files.
locale_t unicode() {
  static const locale_t locale = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  HETMOE_CHECK(locale != nullptr, "the C library has no locale C.UTF-8");
  return locale;
}

char32_t capital(char32_t point) {
  if (point < 0x80) return point >= 'a' && point <= 'z' ? point - 'a' + 'A' : point;
  return static_cast<char32_t>(::towupper_l(static_cast<wint_t>(point), unicode()));
}

char32_t small(char32_t point) {
  if (point < 0x80) return point >= 'A' && point <= 'Z' ? point - 'A' + 'a' : point;
  return static_cast<char32_t>(::towlower_l(static_cast<wint_t>(point), unicode()));
}

}  // namespace

std::size_t trailing_space_bytes(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 && continues(text[begin])) --begin;
    const Character last = character_at(text, begin);
    if (last.bytes != end - begin || !is_space(last.point)) break;
    end = begin;
  }
  return text.size() - end;
}

std::string_view stripped(std::string_view text) {
  while (!text.empty()) {
    const Character first = character_at(text, 0);
    if (!is_space(first.point)) break;
    text.remove_prefix(first.bytes);
  }
  text.remove_suffix(trailing_space_bytes(text));
  return text;
}

std::string capitalized(std::string_view text) {
  std::string out;
  for (std::size_t position = 0; position < text.size();) {
    const Character found = character_at(text, position);
    append(out, position == 0 ? capital(found.point) : small(found.point));
    position += found.bytes;
  }
  return out;
}

std::int64_t character_count(std::string_view text) {
  std::int64_t count = 0;
  for (std::size_t position = 0; position < text.size();
       position += character_at(text, position).bytes) {
    ++count;
  }
  return count;
}

std::string with_replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  while (true) {
    const std::size_t found = text.find(from);
    out += text.substr(0, found);
    if (found == std::string_view::npos) return out;
    out += to;
    text.remove_prefix(found + from.size());
  }
}

}  // namespace hetmoe
