#pragma once

#include <filesystem>

namespace hetmoe {

/// Throws "cannot ACTION 'PATH': REASON" for a system call that failed with `failure` (an errno)
/// while a file was to be read: a StorageError where the file is missing or is something else than
/// a file, which will be so the next time; for any other reason an UnreadableError.
[[noreturn]] void fail_to_read(const char* action, const std::filesystem::path& path, int failure);

}  // namespace hetmoe
