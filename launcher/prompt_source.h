#pragma once

#include <string>

namespace hetmoe {

/// The text to continue: `text` itself, or what the file holds where one is given, "-" being
/// standard input; one line end at its end is not part of it. Blocking: reads to the end.
/// Errors: StorageError for a file that cannot be read or is too long; ConfigError for no text.
std::string read_prompt(const std::string& text, const std::string& file);

}  // namespace hetmoe
