#include "core/data/byte_tokenizer.h"

#include "core/base/check.h"
#include "core/files/digest.h"

namespace hetmoe {

std::string ByteTokenizer::digest() const {
  constexpr std::string_view kDescription =
      "hetmoe bytes: ids 0-255 are bytes, 256 ends a document";
  return digest_of(std::as_bytes(std::span(kDescription)));
}

void ByteTokenizer::encode(std::span<const std::string_view> texts,
                           std::vector<std::vector<std::int32_t>>& out) {
  out.resize(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    out[i].clear();
    for (const char byte : texts[i]) out[i].push_back(static_cast<unsigned char>(byte));
  }
}

std::string ByteTokenizer::decode(std::span<const std::int32_t> tokens) {
  std::string text;
  for (const std::int32_t token : tokens) {
    HETMOE_CHECK(token >= 0 && token < vocab_size(), "token ", token, " of ", vocab_size());
    if (token != kEndOfDocument) text += static_cast<char>(token);
  }
  return text;
}

}  // namespace hetmoe
