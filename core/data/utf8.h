#pragma once

#include <cstddef>
#include <string_view>

namespace hetmoe {

/// Bytes of the well-formed character at `position` (1 to 4), or 0 where the bytes are not UTF-8
/// (stray, truncated, overlong, surrogate, beyond U+10FFFF). Source: Unicode 15, table 3-7.
std::size_t utf8_character_bytes(std::string_view text, std::size_t position);

/// Offset of the first byte that is not UTF-8; text.size() when there is none.
std::size_t first_invalid_utf8(std::string_view text);

/// The largest cut <= `limit` that does not part a character, for limit <= text.size().
std::size_t utf8_cut(std::string_view text, std::size_t limit);

}  // namespace hetmoe
