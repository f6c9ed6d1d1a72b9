#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hetmoe {

/// What Python's str does to texts, where prompts of lm-evaluation-harness rest on it. Texts are
/// UTF-8.

/// str.strip: without the white space at both ends, Unicode's included.
std::string_view stripped(std::string_view text);

/// Bytes of the white space at the end, as str.rstrip takes it off.
std::size_t trailing_space_bytes(std::string_view text);

/// str.capitalize: the first character a capital, all others small. One character for one: Python
/// makes two of a few (the German sharp s at the beginning).
std::string capitalized(std::string_view text);

/// len: characters.
std::int64_t character_count(std::string_view text);

/// str.replace: from left to right, without looking again at what was put in.
std::string with_replaced(std::string_view text, std::string_view from, std::string_view to);

}  // namespace hetmoe
