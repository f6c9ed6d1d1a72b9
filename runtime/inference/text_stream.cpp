#include "runtime/inference/text_stream.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "core/data/utf8.h"

namespace hetmoe {
namespace {

/// A decoder of pieces may treat the first piece of a text in its own way, so some tokens are
/// decoded before those that are new, and their text is taken off again.
constexpr std::size_t kContextTokens = 16;

/// What tokenizers give for bytes that are no character, or not yet.
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

/// Whether more bytes could make the end of the text a character.
bool ends_within_character(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    const std::size_t bytes = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC2 ? 2 : 1;
    return byte < 0xF5 && bytes > back;
  }
  return false;
}

}  // namespace

TextStream::TextStream(Tokenizer& tokenizer, const std::vector<std::int32_t>& before)
    : tokenizer_(tokenizer),
      tokens_(before.end() - static_cast<std::ptrdiff_t>(std::min(before.size(), kContextTokens)),
              before.end()),
      delivered_(tokens_.size()) {}

std::string TextStream::add(std::int32_t token) {
  tokens_.push_back(token);
  const std::string text = undelivered();
  if (text.empty() || text.ends_with(kReplacement) || ends_within_character(text)) return "";
  const std::size_t out = tokens_.size() - std::min(tokens_.size(), kContextTokens);
  tokens_.erase(tokens_.begin(), tokens_.begin() + static_cast<std::ptrdiff_t>(out));
  delivered_ = tokens_.size();
  return text;
}

std::string TextStream::finish() {
  std::string text = undelivered();
  delivered_ = tokens_.size();
  return text;
}

std::string TextStream::undelivered() {
  const std::string before = tokenizer_.decode(std::span(tokens_).first(delivered_));
  const std::string all = tokenizer_.decode(tokens_);
  if (all.starts_with(before)) return all.substr(before.size());
  return tokenizer_.decode(std::span(tokens_).subspan(delivered_));
}

}  // namespace hetmoe
