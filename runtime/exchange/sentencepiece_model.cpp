#include "runtime/exchange/sentencepiece_model.h"

#include <cstring>
#include <functional>

#include "core/base/error.h"

namespace hetmoe {
namespace {

/// The fields of one message, front to back.
class Message {
 public:
  Message(std::string_view bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  /// A field's number with its value: `number` of a varint or a fixed32, `text` of a length-
  /// delimited one.
  struct Field {
    std::uint64_t id = 0;
    std::uint64_t number = 0;
    std::string_view text;
  };

  void each(const std::function<void(const Field&)>& take) {
    while (!bytes_.empty()) {
      const std::uint64_t key = varint();
      Field field{.id = key >> 3U};
      switch (key & 7U) {
        case 0:
          field.number = varint();
          break;
        case 1:
          cut(8);
          break;
        case 2:
          field.text = cut(varint());
          break;
        case 5: {
          std::uint32_t word = 0;
          std::memcpy(&word, cut(4).data(), sizeof(word));
          field.number = word;
          break;
        }
        default:
          fail();
      }
      take(field);
    }
  }

 private:
  [[noreturn]] void fail() const { throw StorageError(file_ + ": is no SentencePiece model"); }

  std::string_view cut(std::uint64_t bytes) {
    if (bytes > bytes_.size()) fail();
    const std::string_view front = bytes_.substr(0, bytes);
    bytes_.remove_prefix(bytes);
    return front;
  }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(cut(1).front());
      value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
      if ((byte & 0x80U) == 0) return value;
    }
    fail();
  }

  std::string_view bytes_;
  const std::string& file_;
};

using Field = Message::Field;

SentencePieceModel::Piece piece_of(std::string_view bytes, const std::string& file) {
  SentencePieceModel::Piece piece;
  Message(bytes, file).each([&](const Field& field) {
    if (field.id == 1) piece.text = field.text;
    if (field.id == 2) {
      const auto word = static_cast<std::uint32_t>(field.number);
      std::memcpy(&piece.score, &word, sizeof(word));
    }
    if (field.id == 3 && field.number >= 1 && field.number <= 6) {
      piece.kind = static_cast<SentencePieceModel::Kind>(field.number);
    }
  });
  return piece;
}

void read_trainer(std::string_view bytes, const std::string& file, SentencePieceModel& model) {
  Message(bytes, file).each([&](const Field& field) {
    constexpr std::uint64_t kBpe = 2;
    if (field.id == 3) model.is_bpe = field.number == kBpe;
    if (field.id == 41) model.begin_token = static_cast<std::int32_t>(field.number);
    if (field.id == 42) model.end_token = static_cast<std::int32_t>(field.number);
  });
}

void read_normalizer(std::string_view bytes, const std::string& file, SentencePieceModel& model) {
  Message(bytes, file).each([&](const Field& field) {
    if (field.id == 2) model.has_character_map = !field.text.empty();
    if (field.id == 3) model.add_dummy_prefix = field.number != 0;
    if (field.id == 4) model.remove_extra_whitespaces = field.number != 0;
    if (field.id == 5) model.escape_whitespaces = field.number != 0;
  });
}

}  // namespace

SentencePieceModel read_sentencepiece_model(std::string_view bytes, const std::string& file) {
  SentencePieceModel model;
  Message(bytes, file).each([&](const Field& field) {
    if (field.id == 1) model.pieces.push_back(piece_of(field.text, file));
    if (field.id == 2) read_trainer(field.text, file, model);
    if (field.id == 3) read_normalizer(field.text, file, model);
  });
  if (model.pieces.empty()) throw StorageError(file + ": is no SentencePiece model: no pieces");
  const auto size = static_cast<std::int32_t>(model.pieces.size());
  if (model.begin_token >= size) model.begin_token = -1;
  if (model.end_token >= size) model.end_token = -1;
  return model;
}

}  // namespace hetmoe
