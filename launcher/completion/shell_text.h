#pragma once

#include <string>
#include <vector>

namespace hetmoe {

/// With `between` between two words.
inline std::string joined(const std::vector<std::string>& words, const std::string& between = " ") {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

/// A word in single quotes, as bash and zsh read it.
inline std::string in_quotes(const std::string& text) {
  std::string out = "'";
  for (const char letter : text)
    out += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return out + "'";
}

}  // namespace hetmoe
