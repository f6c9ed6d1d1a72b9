#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

namespace hetmoe {

/// How much a terminal shows.
struct TerminalSize {
  std::size_t rows = 24;
  std::size_t columns = 80;
};

/// Several lines that are rewritten in place on a terminal: back to their first one, each written
/// anew, what is left of them cleared. Lines are cut to the terminal, since one that wraps would
/// make the way back too short; the last rows give way to "..." where there are too many.
class LiveBlock {
 public:
  /// What to write for `text` (lines, ASCII) to take the place of the text before it.
  std::string redrawn(const std::string& text, TerminalSize size);

 private:
  std::size_t lines_ = 0;  ///< of the text that stands there
};

/// As the terminal says now; 24 rows of 80 where it says nothing.
TerminalSize terminal_size(std::FILE* stream);

}  // namespace hetmoe
