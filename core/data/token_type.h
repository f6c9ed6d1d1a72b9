#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "core/data/mapped_file.h"

namespace hetmoe {

/// How a file stores one token id. The value is Megatron's code; kUint32 is llm.c's alone and has
/// none.
enum class TokenType : std::uint8_t {
  kUint8 = 1,
  kInt8 = 2,
  kInt16 = 3,
  kInt32 = 4,
  kInt64 = 5,
  kUint16 = 8,
  kUint32 = 255,
};

/// Nothing for codes that Megatron does not know or that are no integers.
std::optional<TokenType> token_type_of_code(std::uint8_t code);

std::int64_t bytes_of(TokenType type);
const char* name_of(TokenType type);

/// Copies the ids that stand in `file` from byte `offset_bytes` on, as many as `out` has room for;
/// they must lie in the file. Every id must be in [lowest, highest], within 32 bits.
/// Errors: StorageError naming the byte offset of the first id that is not.
void copy_tokens(const MappedFile& file, std::int64_t offset_bytes, TokenType type,
                 std::int64_t lowest, std::int64_t highest, std::span<std::int32_t> out);

}  // namespace hetmoe
