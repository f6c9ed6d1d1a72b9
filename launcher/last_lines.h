#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace hetmoe {

/// The newest whole lines of a file that grows, at most `count`, oldest first, without their ends.
/// Of a large file only its last 256 KiB are looked at. None where it cannot be read. Never throws
/// for what stands in the file. Blocking: the disk.
std::vector<std::string> last_lines(const std::filesystem::path& path, std::size_t count);

}  // namespace hetmoe
