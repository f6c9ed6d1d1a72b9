#include "runtime/exchange/tokenizer_json.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "core/base/error.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;
using Kind = SentencePieceModel::Kind;

constexpr const char* kSpaceSign = "\xE2\x96\x81";  // U+2581

std::string byte_piece(int byte) {
  char text[8];
  std::snprintf(text, sizeof(text), "<0x%02X>", byte);
  return text;
}

Json added_token(std::size_t id, const std::string& text, bool special) {
  return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

Json replace_json(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U; }

/// "left right" of all pairs that make a piece, those of the highest score first.
Json merges_of(const SentencePieceModel& model) {
  std::unordered_set<std::string> known;
  std::vector<const SentencePieceModel::Piece*> pieces;
  for (const auto& piece : model.pieces) {
    if (piece.kind != Kind::kNormal && piece.kind != Kind::kUserDefined) continue;
    known.insert(piece.text);
    pieces.push_back(&piece);
  }
  std::ranges::stable_sort(pieces, std::ranges::greater(), [](const auto* p) { return p->score; });
  Json merges = Json::array();
  for (const auto* piece : pieces) {
    const std::string& text = piece->text;
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      if (!begins_character(text[cut])) continue;
      const std::string left = text.substr(0, cut), right = text.substr(cut);
      if (known.contains(left) && known.contains(right)) merges.push_back(left + " " + right);
    }
  }
  return merges;
}

Json bpe_json(Json vocabulary, Json merges, const Json& unknown) {
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unknown},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", true},
          {"byte_fallback", true},
          {"ignore_merges", false},
          {"vocab", std::move(vocabulary)},
          {"merges", std::move(merges)}};
}

Json document(Json added, Json normalizers, Json decoders, Json bpe) {
  Json json = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  json["added_tokens"] = std::move(added);
  json["normalizer"] = normalizers.empty()
                           ? Json()
                           : Json{{"type", "Sequence"}, {"normalizers", std::move(normalizers)}};
  json["pre_tokenizer"] = nullptr;
  json["post_processor"] = nullptr;
  json["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
  json["model"] = std::move(bpe);
  return json;
}

/// An object would search all its keys for each new one.
Json vocabulary_of(const std::vector<std::string>& texts) {
  std::vector<std::pair<const std::string, Json>> members;
  for (const std::string& text : texts) members.emplace_back(text, members.size());
  return Json::object_t(members.begin(), members.end());
}

}  // namespace

std::optional<std::string> tokenizer_json(const SentencePieceModel& model,
                                          const std::string& file) {
  const bool has_bytes =
      std::ranges::count(model.pieces, Kind::kByte, &SentencePieceModel::Piece::kind) == 256;
  if (!model.is_bpe || !has_bytes || model.has_character_map || model.remove_extra_whitespaces ||
      !model.escape_whitespaces) {
    return std::nullopt;
  }
  Json added = Json::array(), unknown;
  std::vector<std::string> texts;
  for (const auto& piece : model.pieces) {
    if (piece.kind == Kind::kUnknown) unknown = piece.text;
    if (piece.kind == Kind::kUnknown || piece.kind == Kind::kControl) {
      added.push_back(added_token(texts.size(), piece.text, true));
    } else if (piece.kind == Kind::kUserDefined) {
      added.push_back(added_token(texts.size(), piece.text, false));
    }
    texts.push_back(piece.text);
  }
  Json normalizers = Json::array(), decoders = Json::array();
  if (model.add_dummy_prefix) {
    normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpaceSign}});
  }
  normalizers.push_back(replace_json(" ", kSpaceSign));
  decoders.push_back(replace_json(kSpaceSign, " "));
  decoders.push_back({{"type", "ByteFallback"}});
  decoders.push_back({{"type", "Fuse"}});
  if (model.add_dummy_prefix) {
    decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  }
  Json bpe = bpe_json(vocabulary_of(texts), merges_of(model), unknown);
  try {
    return document(std::move(added), std::move(normalizers), std::move(decoders), std::move(bpe))
               .dump(1) +
           "\n";
  } catch (const nlohmann::json::type_error&) {
    throw StorageError(file + ": holds a piece that is not UTF-8");
  }
}

std::string byte_tokenizer_json() {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) texts.push_back(byte_piece(byte));
  texts.emplace_back("</s>");
  const Json decoders = {{{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  return document(Json::array({added_token(256, texts.back(), true)}), Json::array(), decoders,
                  bpe_json(vocabulary_of(texts), Json::array(), nullptr))
             .dump(1) +
         "\n";
}

std::string tokenizer_config_json(const std::string& begin, const std::string& end,
                                  const std::string& unknown, std::int64_t longest_sequence) {
  const auto token = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
  const Json json = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                     {"bos_token", token(begin)},
                     {"eos_token", token(end)},
                     {"unk_token", token(unknown)},
                     {"add_bos_token", false},
                     {"add_eos_token", false},
                     {"clean_up_tokenization_spaces", false},
                     {"model_max_length", longest_sequence}};
  return json.dump(2) + "\n";
}

}  // namespace hetmoe
