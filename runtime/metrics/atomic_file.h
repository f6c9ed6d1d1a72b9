#pragma once

#include <filesystem>
#include <string_view>

namespace hetmoe {

/// Puts `contents` at `path`, whole or not at all: written beside it, synced, renamed over it, the
/// folder synced. What stood there stays until then. Blocking: on the disk.
/// Errors: StorageError that names `path`; nothing is left beside it.
void write_file_atomically(const std::filesystem::path& path, std::string_view contents);

}  // namespace hetmoe
