#pragma once

#include <optional>
#include <string>

#include "runtime/exchange/sentencepiece_model.h"

namespace hetmoe {

/// The same tokenizer for the library `tokenizers`, which transformers uses: BPE without a
/// character map that keeps all spaces. None for others: they need the sentencepiece package.
/// Every pair of pieces that makes a piece may merge, those of the highest score first, as
/// SentencePiece has it. Errors: StorageError that names `file` for pieces that are not UTF-8.
std::optional<std::string> tokenizer_json(const SentencePieceModel& model, const std::string& file);

/// A byte is a token, 256 ends a document: the same of our byte tokenizer, for text of UTF-8.
std::string byte_tokenizer_json();

/// tokenizer_config.json for either. Tokens are named, empty: none.
std::string tokenizer_config_json(const std::string& begin, const std::string& end,
                                  const std::string& unknown, std::int64_t longest_sequence);

}  // namespace hetmoe
