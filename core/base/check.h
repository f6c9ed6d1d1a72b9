#pragma once

#include <sstream>
#include <string>

namespace hetmoe::detail {

/// Throws InternalError "file:line: check 'condition' failed: message".
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& message);

template <typename... Parts>
std::string concatenate(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

}  // namespace hetmoe::detail

/// An invariant, checked in release builds too. Never used on input from outside (that gets a
/// ConfigError or StorageError), never with a side effect in the condition.
/// Use: HETMOE_CHECK(rows == expected, "rows ", rows, ", expected ", expected);
#define HETMOE_CHECK(condition, ...)                                              \
  do {                                                                            \
    if (!(condition)) [[unlikely]] {                                              \
      ::hetmoe::detail::check_failed(__FILE__, __LINE__, #condition,              \
                                     ::hetmoe::detail::concatenate(__VA_ARGS__)); \
    }                                                                             \
  } while (false)
