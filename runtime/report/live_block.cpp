#include "runtime/report/live_block.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <vector>

namespace hetmoe {
namespace {

constexpr const char* kClearToEndOfLine = "\x1b[K";
constexpr const char* kClearBelow = "\x1b[J";

/// One row stays free, for the cursor.
std::vector<std::string> fitting(const std::string& text, TerminalSize size) {
  const std::size_t most = std::max<std::size_t>(size.rows, 2) - 1;
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line.substr(0, size.columns));
  if (lines.size() <= most) return lines;
  lines.resize(most);
  lines.back() = "...";
  return lines;
}

}  // namespace

std::string LiveBlock::redrawn(const std::string& text, TerminalSize size) {
  std::string out = "\r";
  if (lines_ > 0) out += "\x1b[" + std::to_string(std::min(lines_, size.rows)) + "A";
  const std::vector<std::string> lines = fitting(text, size);
  for (const std::string& line : lines) out += line + kClearToEndOfLine + "\n";
  lines_ = lines.size();
  return out + kClearBelow;
}

TerminalSize terminal_size(std::FILE* stream) {
  struct winsize window = {};
  if (::ioctl(::fileno(stream), TIOCGWINSZ, &window) != 0 || window.ws_row == 0 ||
      window.ws_col == 0) {
    return {};
  }
  return {window.ws_row, window.ws_col};
}

}  // namespace hetmoe
