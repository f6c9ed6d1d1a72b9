#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hand_made_shard.h"

namespace hetmoe {

/// Tokens of 16 or 32 bits back to back, laid out here by hand.
template <typename Stored>
std::string token_bytes(const std::vector<std::int64_t>& tokens) {
  std::string bytes;
  for (const std::int64_t token : tokens) bytes += little_endian(static_cast<Stored>(token));
  return bytes;
}

/// The bytes of a file of llm.c: 256 numbers of 32 bits, of which three say something, then tokens.
struct LlmCFile {
  std::int32_t magic = 20240520;
  std::int32_t version = 1;
  std::int32_t count = 0;
  std::string tokens;

  std::string bytes() const {
    std::string header = little_endian(magic) + little_endian(version) + little_endian(count);
    header.resize(1024);
    return header + tokens;
  }
};

inline LlmCFile gpt2_file(const std::vector<std::int64_t>& tokens) {
  return {20240520, 1, static_cast<std::int32_t>(tokens.size()),
          token_bytes<std::uint16_t>(tokens)};
}

inline LlmCFile llama3_file(const std::vector<std::int64_t>& tokens) {
  return {20240801, 7, static_cast<std::int32_t>(tokens.size()),
          token_bytes<std::uint32_t>(tokens)};
}

}  // namespace hetmoe
