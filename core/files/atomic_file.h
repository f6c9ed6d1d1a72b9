#pragma once

#include <filesystem>
#include <string_view>

namespace hetmoe {

/// Puts `contents` at `path`, whole or not at all: written beside it, synced, renamed over it, the
/// folder synced. What stood there stays until then. Blocking: on the disk.
/// Errors: StorageError that names `path`; nothing is left beside it.
void write_file_atomically(const std::filesystem::path& path, std::string_view contents);

/// For what takes long: says before the work, and not after it, that a file cannot be written at
/// `path`, because it is a folder or its own folder is missing or closed. Writes nothing.
/// Errors: StorageError that names `path`.
void require_writable(const std::filesystem::path& path);

}  // namespace hetmoe
