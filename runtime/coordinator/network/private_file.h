#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace hetmoe {

/// A small file that its owner may read and nobody else, from the first moment on; whole or not at
/// all. Blocking: on the disk. Errors: StorageError that names the path.
void write_private_file(const std::filesystem::path& path, std::string_view contents);

/// A regular file of up to 64 KiB. `is_secret`: refused when group or others may read or write it.
/// Errors: StorageError that names the path.
std::string read_small_file(const std::filesystem::path& path, bool is_secret);

}  // namespace hetmoe
