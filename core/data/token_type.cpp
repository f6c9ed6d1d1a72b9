#include "core/data/token_type.h"

#include <cstring>
#include <string>

#include "core/base/check.h"

namespace hetmoe {
namespace {

/// Calls action(T()) with the type that stands in the file.
template <typename Action>
void with_stored_type(TokenType type, const Action& action) {
  switch (type) {
    case TokenType::kUint8:
      return action(std::uint8_t{});
    case TokenType::kInt8:
      return action(std::int8_t{});
    case TokenType::kInt16:
      return action(std::int16_t{});
    case TokenType::kInt32:
      return action(std::int32_t{});
    case TokenType::kInt64:
      return action(std::int64_t{});
    case TokenType::kUint16:
      return action(std::uint16_t{});
    case TokenType::kUint32:
      return action(std::uint32_t{});
  }
  HETMOE_CHECK(false, "token type ", static_cast<int>(type));
}

}  // namespace

std::optional<TokenType> token_type_of_code(std::uint8_t code) {
  const bool is_integer = (code >= 1 && code <= 5) || code == 8;
  if (!is_integer) return std::nullopt;
  return static_cast<TokenType>(code);
}

std::int64_t bytes_of(TokenType type) {
  std::int64_t bytes = 0;
  with_stored_type(type, [&](auto stored) { bytes = sizeof(stored); });
  return bytes;
}

const char* name_of(TokenType type) {
  switch (type) {
    case TokenType::kUint8:
      return "uint8";
    case TokenType::kInt8:
      return "int8";
    case TokenType::kInt16:
      return "int16";
    case TokenType::kInt32:
      return "int32";
    case TokenType::kInt64:
      return "int64";
    case TokenType::kUint16:
      return "uint16";
    case TokenType::kUint32:
      return "uint32";
  }
  HETMOE_CHECK(false, "token type ", static_cast<int>(type));
  return "";
}

void copy_tokens(const MappedFile& file, std::int64_t offset_bytes, TokenType type,
                 std::int64_t lowest, std::int64_t highest, std::span<std::int32_t> out) {
  const auto count = static_cast<std::int64_t>(out.size());
  HETMOE_CHECK(offset_bytes >= 0 && offset_bytes <= file.size_bytes() &&
                   count <= (file.size_bytes() - offset_bytes) / bytes_of(type),
               count, " tokens at byte ", offset_bytes, " of ", file.path());
  with_stored_type(type, [&](auto stored) {
    const std::byte* source = file.bytes().data() + offset_bytes;
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::memcpy(&stored, source + i * sizeof(stored), sizeof(stored));  // need not be aligned
      const auto id = static_cast<std::int64_t>(stored);
      if (id < lowest || id > highest) [[unlikely]] {
        refuse_bytes(file, offset_bytes + static_cast<std::int64_t>(i * sizeof(stored)),
                     "token id " + std::to_string(id),
                     std::to_string(lowest) + " to " + std::to_string(highest));
      }
      out[i] = static_cast<std::int32_t>(id);
    }
  });
}

}  // namespace hetmoe
