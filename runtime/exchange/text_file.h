#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace hetmoe {

/// A whole file from outside, at most `most_bytes`. Errors: StorageError that names it and what is
/// in the way: missing, no regular file, longer.
std::string read_text_file(const std::filesystem::path& path, std::int64_t most_bytes);

}  // namespace hetmoe
