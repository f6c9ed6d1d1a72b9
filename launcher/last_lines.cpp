#include "launcher/last_lines.h"

#include <algorithm>
#include <fstream>
#include <ios>
#include <sstream>

namespace hetmoe {
namespace {

constexpr std::streamoff kMostBytes = 256 << 10;

/// From the start of a line to the end of one.
std::string tail_of(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return "";  // a pipe would be waited for
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = file ? static_cast<std::streamoff>(file.tellg()) : 0;
  if (size <= 0) return "";
  const std::streamoff begin = std::max<std::streamoff>(0, size - kMostBytes);
  std::string text(static_cast<std::size_t>(size - begin), '\0');
  file.seekg(begin);
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  text.erase(text.rfind('\n') + 1);  // npos + 1: nothing is whole
  if (begin > 0) text.erase(0, text.find('\n') + 1);
  return text;
}

}  // namespace

std::vector<std::string> last_lines(const std::filesystem::path& path, std::size_t count) {
  std::istringstream text(tail_of(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(std::move(line));
  if (lines.size() > count) lines.erase(lines.begin(), lines.end() - static_cast<long>(count));
  return lines;
}

}  // namespace hetmoe
