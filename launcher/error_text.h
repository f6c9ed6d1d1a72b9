#pragma once

#include <string>

namespace hetmoe {

/// Prints "hetmoe: " and the message, line by line, to standard error in one piece, so that the
/// lines of several ranks do not mix.
void print_error(const std::string& message);

}  // namespace hetmoe
