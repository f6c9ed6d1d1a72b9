#pragma once

#include <string>

namespace hetmoe::test {

/// One gzip member.
std::string gzip_bytes(const std::string& text);

/// One zstd frame with a checksum.
std::string zstd_bytes(const std::string& text);

/// One zstd frame whose header asks for a window of 2^window_log bytes.
std::string zstd_bytes_with_window(const std::string& text, int window_log);

}  // namespace hetmoe::test
