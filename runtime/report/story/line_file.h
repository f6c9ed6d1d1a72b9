#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/report/story/json_line.h"

namespace hetmoe {

/// Longer lines are taken for damage, so that no file fills the memory.
inline constexpr std::size_t kLongestLineBytes = std::size_t{1} << 20;

/// What a file of lines held beside good ones.
struct LineFaults {
  bool absent = false;
  bool unreadable = false;  ///< part of it at least
  bool unfinished = false;  ///< the end is not a whole line: somebody writes, or was killed
  std::size_t lines = 0;
  std::size_t damaged = 0;
  std::size_t first_damaged = 0;  ///< its number, from 1

  /// "metrics.jsonl: 2 of 40 lines are damaged, the first is line 7"; nothing: all is good.
  std::vector<std::string> texts(const std::string& name) const;
};

/// Calls `visit` with every line that is a whole JSON object and with the byte at which it begins;
/// what `visit` refuses (false) counts as damaged too. Never throws for what the file holds.
LineFaults for_each_object(const std::filesystem::path& path,
                           const std::function<bool(const JsonLine&, std::streamoff)>& visit);

}  // namespace hetmoe
