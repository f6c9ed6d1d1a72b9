#include "core/data/sentencepiece/piece_codec.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

#include "core/data/utf8.h"

namespace hetmoe {
namespace {

constexpr std::string_view kSpaceSign = "\xE2\x96\x81";  // U+2581
// SentencePiece needs about 100 bytes of memory per byte of one call.
constexpr std::size_t kLongestCallBytes = std::size_t{1} << 16;

void require(const sentencepiece::util::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

}  // namespace

PieceCodec::PieceCodec(const std::string& model_path) {
  require(processor_.Load(model_path));
  keeps_every_byte_ = probe_keeps_every_byte();
}

bool PieceCodec::find_byte_pieces() {
  for (int byte = 0; byte < 256; ++byte) {
    std::array<char, 8> name{};
    std::snprintf(name.data(), name.size(), "<0x%02X>", static_cast<unsigned>(byte));
    byte_pieces_[static_cast<std::size_t>(byte)] = processor_.PieceToId(name.data());
    if (!processor_.IsByte(byte_pieces_[static_cast<std::size_t>(byte)])) return false;
  }
  return true;
}

// The normaliser of a model is not readable without Protobuf, so it is tried: spaces at the ends
// and in rows, a line end, a tab, a ligature, a full-width letter, a combining accent, a soft
// hyphen.
bool PieceCodec::probe_keeps_every_byte() {
  constexpr std::string_view kProbe =
      "  a   b\n\n  c\t\r\n\xEF\xAC\x81 \xEF\xBC\xA1 e\xCC\x81 \xC2\xAD\xC2\xA0 \xEF\xBB\xBF ";
  if (!find_byte_pieces()) return false;
  newline_is_a_byte_ = true;
  for (int id = 0; id < processor_.GetPieceSize(); ++id) {
    if (processor_.IdToPiece(id).find('\n') != std::string::npos) newline_is_a_byte_ = false;
  }
  std::vector<int> ids;
  encode_exactly(kProbe, ids);
  return std::find(ids.begin(), ids.end(), processor_.unk_id()) == ids.end() &&
         decode_exactly(ids) == kProbe;
}

std::vector<int> PieceCodec::encode(std::string_view text) const {
  std::vector<int> ids;
  if (keeps_every_byte_) {
    encode_exactly(text, ids);
  } else {
    require(processor_.Encode(text, &ids));
  }
  return ids;
}

std::string PieceCodec::decode(const std::vector<int>& ids) const {
  if (keeps_every_byte_) return decode_exactly(ids);
  std::string text;
  require(processor_.Decode(ids, &text));
  return text;
}

void PieceCodec::encode_plain(std::string_view text, std::vector<int>& out) const {
  while (!text.empty()) {
    const std::size_t cut = utf8_cut(text, std::min(text.size(), kLongestCallBytes));
    std::vector<int> ids;
    require(processor_.Encode(text.substr(0, cut), &ids));
    out.insert(out.end(), ids.begin(), ids.end());
    text.remove_prefix(cut);
  }
}

// Where a line end is always a piece of its own, lines are encoded one by one: the same ids,
// faster.
void PieceCodec::encode_exactly(std::string_view text, std::vector<int>& out) const {
  std::size_t begin = 0;
  std::size_t position = 0;
  while (position < text.size()) {
    const std::size_t bytes = utf8_character_bytes(text, position);
    const bool plain = bytes != 0 && text.substr(position, bytes) != kSpaceSign &&
                       !(newline_is_a_byte_ && text[position] == '\n');
    if (plain) {
      position += bytes;
      continue;
    }
    encode_plain(text.substr(begin, position - begin), out);
    const std::size_t end = position + std::max<std::size_t>(bytes, 1);
    for (; position < end; ++position) {
      out.push_back(byte_pieces_[static_cast<unsigned char>(text[position])]);
    }
    begin = end;
  }
  encode_plain(text.substr(begin), out);
}

std::string PieceCodec::decode_exactly(const std::vector<int>& ids) const {
  std::string text;
  for (const int id : ids) {
    if (processor_.IsControl(id) || processor_.IsUnknown(id)) continue;
    std::string_view piece = processor_.IdToPiece(id);
    if (processor_.IsByte(id)) {
      text += static_cast<char>(std::stoi(std::string(piece.substr(3, 2)), nullptr, 16));
      continue;
    }
    while (!piece.empty()) {
      const std::size_t sign = std::min(piece.find(kSpaceSign), piece.size());
      text += piece.substr(0, sign);
      piece.remove_prefix(sign);
      if (piece.empty()) break;
      text += ' ';
      piece.remove_prefix(kSpaceSign.size());
    }
  }
  return text;
}

}  // namespace hetmoe
