#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hetmoe {

struct TextFault {
  int line = 1;
  std::string message;
};

/// The first byte that is a control character (other than tab and line end) or not UTF-8. What
/// passes can be printed, and read back from YAML, unchanged.
std::optional<TextFault> text_fault(std::string_view text);

}  // namespace hetmoe
