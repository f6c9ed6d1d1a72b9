#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hetmoe {

/// A SentencePiece model's file, as far as another program must know it to cut text in the same
/// way. The library itself cannot share our process, and Python's is not always at hand.
struct SentencePieceModel {
  enum class Kind : std::uint8_t {
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,
    kUserDefined = 4,
    kUnused = 5,
    kByte = 6
  };
  struct Piece {
    std::string text;
    float score = 0;
    Kind kind = Kind::kNormal;
  };

  std::vector<Piece> pieces;  ///< by id
  bool is_bpe = false;        ///< else unigram or others
  bool has_character_map = false;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  std::int32_t begin_token = 1;  ///< below 0: none
  std::int32_t end_token = 2;
};

/// Reads the bytes of a `.model` (Protobuf's wire format). Nothing in it is trusted. `file` is
/// named in errors. Errors: StorageError.
SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& file);

}  // namespace hetmoe
