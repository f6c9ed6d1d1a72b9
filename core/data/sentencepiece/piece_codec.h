#pragma once

#include <sentencepiece_processor.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hetmoe {

/// Text to pieces and back with one SentencePiece model. Const calls may run at the same time.
///
/// A model that neither normalises nor trims, and has a piece for every byte, can keep any bytes
/// whole, with two exceptions that are handled here: bytes that are not UTF-8 (SentencePiece would
/// replace them by U+FFFD) and U+2581 (its own sign for a space). Both become byte pieces, which
/// SentencePiece's own decoder understands too.
/// Errors: std::runtime_error with SentencePiece's message.
class PieceCodec {
 public:
  explicit PieceCodec(const std::string& model_path);

  std::int32_t vocab_size() const { return processor_.GetPieceSize(); }
  std::int32_t end_of_document() const { return processor_.eos_id(); }
  bool keeps_every_byte() const { return keeps_every_byte_; }

  std::vector<int> encode(std::string_view text) const;
  std::string decode(const std::vector<int>& ids) const;

 private:
  bool probe_keeps_every_byte();
  bool find_byte_pieces();
  void encode_plain(std::string_view text, std::vector<int>& out) const;
  void encode_exactly(std::string_view text, std::vector<int>& out) const;
  std::string decode_exactly(const std::vector<int>& ids) const;

  sentencepiece::SentencePieceProcessor processor_;
  std::array<int, 256> byte_pieces_{};
  bool newline_is_a_byte_ = false;
  bool keeps_every_byte_ = false;
};

}  // namespace hetmoe
