#pragma once

#include <cstdint>

#include "core/data/mapped_file.h"
#include "core/data/token_type.h"

namespace hetmoe {

/// Tokens back to back in one file, without an index: how that file begins, and which of its tokens
/// tell documents apart.
struct FlatFormat {
  const char* name;
  std::int64_t header_bytes;
  TokenType type;
  const char* vocabulary;        ///< whose ids these are; empty: the format does not say
  std::int32_t end_of_text;      ///< the id that stands between documents
  bool stands_before_documents;  ///< llm.c puts it first, nanoGPT last
};

/// What the content of a file says it is: llm.c by its magic number, nanoGPT where it is nothing
/// else that is known and has whole tokens. Sizes agree with the header.
/// Errors: StorageError that names what was found instead, or what was looked for.
FlatFormat recognize_flat_format(const MappedFile& file);

}  // namespace hetmoe
