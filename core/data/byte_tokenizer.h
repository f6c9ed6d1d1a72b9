#pragma once

#include "core/data/tokenizer.h"

namespace hetmoe {

/// One token per byte, and 256 for the end of a document. Loses nothing, learns nothing.
class ByteTokenizer final : public Tokenizer {
 public:
  static constexpr std::int32_t kEndOfDocument = 256;

  using Tokenizer::encode;
  std::string name() const override { return "bytes"; }
  std::int64_t vocab_size() const override { return 257; }
  std::string digest() const override;
  std::int32_t end_of_document() const override { return kEndOfDocument; }
  bool keeps_every_byte() const override { return true; }
  void encode(std::span<const std::string_view> texts,
              std::vector<std::vector<std::int32_t>>& out) override;
  std::string decode(std::span<const std::int32_t> tokens) override;
};

}  // namespace hetmoe
