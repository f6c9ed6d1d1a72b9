#pragma once

#include <cstdint>
#include <string>

namespace hetmoe {

/// A file of the safetensors format, put together by hand: `header_bytes` little-endian, header,
/// data.
inline std::string safetensors_bytes(const std::string& header, const std::string& data,
                                     std::uint64_t header_bytes) {
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8) {
    bytes += static_cast<char>(header_bytes >> shift & 0xff);
  }
  return bytes + header + data;
}

inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  return safetensors_bytes(header, data, header.size());
}

}  // namespace hetmoe
