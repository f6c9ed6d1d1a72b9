#include "core/data/tokenizer.h"

#include <filesystem>

#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"
#include "core/data/sentencepiece_tokenizer.h"

namespace hetmoe {

void Tokenizer::encode(std::string_view text, std::vector<std::int32_t>& out) {
  std::vector<std::vector<std::int32_t>> results;
  encode(std::span(&text, 1), results);
  out = std::move(results.front());
}

std::unique_ptr<Tokenizer> make_tokenizer(const std::string& bytes_or_model,
                                          const std::string& executable) {
  if (bytes_or_model == "bytes") return std::make_unique<ByteTokenizer>();
  if (!std::filesystem::is_regular_file(bytes_or_model)) {
    throw ConfigError("tokenizer is '" + bytes_or_model +
                      "', must be 'bytes' or the path of a SentencePiece model");
  }
  return std::make_unique<SentencePieceTokenizer>(bytes_or_model, executable);
}

}  // namespace hetmoe
