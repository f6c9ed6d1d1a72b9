#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace hetmoe {

/// The bytes of a shard, laid out here by hand after the format's description, so that reader and
/// writer are each held against something that is not the other.
struct HandMadeShard {
  std::string magic = std::string("MMIDIDX\0\0", 9);
  std::uint64_t version = 1;
  std::uint8_t type_code = 8;
  std::uint64_t num_sequences = 3;
  std::uint64_t num_indices = 3;
  std::vector<std::int32_t> lengths = {2, 3, 1};
  std::vector<std::int64_t> offsets = {0, 4, 10};
  std::vector<std::int64_t> document_indices = {0, 2, 3};
  std::string tail;
  std::string tokens = std::string("\x01\x00\x02\x00\x03\x00\x04\x00\x05\x00\xFF\xFE", 12);

  std::string index_bytes() const;
  /// Writes `name`.idx and `name`.bin; gives the prefix.
  std::string write(const TemporaryFolder& folder, const std::string& name = "shard") const;
};

/// Little-endian bytes of a number.
template <typename T>
std::string little_endian(T value) {
  std::string bytes;
  const auto bits = static_cast<std::uint64_t>(value);
  for (std::size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>((bits >> (8 * i)) & 255);
  return bytes;
}

}  // namespace hetmoe
