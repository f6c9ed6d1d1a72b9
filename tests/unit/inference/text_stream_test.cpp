#include "runtime/inference/text_stream.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/data/byte_tokenizer.h"
#include "core/data/utf8.h"

namespace hetmoe {
namespace {

/// A decoder as those of pieces are: a piece carries the space before it, that of the first piece
/// of a text is left out, and bytes that are no character give replacements.
class PieceDecoder final : public Tokenizer {
 public:
  std::string name() const override { return "pieces"; }
  std::int64_t vocab_size() const override { return 512; }
  std::string digest() const override { return ""; }
  std::int32_t end_of_document() const override { return 511; }
  bool keeps_every_byte() const override { return false; }
  using Tokenizer::encode;
  void encode(std::span<const std::string_view>, std::vector<std::vector<std::int32_t>>&) override {
  }
  /// Below 256: that byte. 256 to 509: a word. 510, 511: nothing.
  std::string decode(std::span<const std::int32_t> tokens) override {
    std::string raw;
    for (const std::int32_t token : tokens) {
      if (token < 256) raw += static_cast<char>(token);
      if (token >= 256 && token < 510) raw += " w" + std::to_string(token);
    }
    std::string text;
    for (std::size_t i = raw.starts_with(' ') ? 1 : 0; i < raw.size();) {
      const std::size_t bytes = utf8_character_bytes(raw, i);
      text += bytes == 0 ? "\xEF\xBF\xBD" : raw.substr(i, bytes);
      i += std::max<std::size_t>(bytes, 1);
    }
    return text;
  }
};

struct Streamed {
  std::vector<std::string> parts;  ///< of each token, and the rest

  std::string text() const {
    std::string all;
    for (const std::string& part : parts) all += part;
    return all;
  }
};

Streamed stream(Tokenizer& tokenizer, const std::vector<std::int32_t>& before,
                const std::vector<std::int32_t>& tokens) {
  TextStream text(tokenizer, before);
  Streamed streamed;
  for (const std::int32_t token : tokens) streamed.parts.push_back(text.add(token));
  streamed.parts.push_back(text.finish());
  return streamed;
}

TEST(TextStream, BytesWaitForTheirCharacter) {
  ByteTokenizer tokenizer;
  const Streamed streamed = stream(tokenizer, {'x'}, {'a', 0xE2, 0x82, 0xAC, 'b', 0xC3, 0xA9});
  EXPECT_EQ(streamed.parts,
            (std::vector<std::string>{"a", "", "", "\u20ac", "b", "", "\u00e9", ""}));
}

TEST(TextStream, WhatIsNoCharacterGoesOutAsItIs) {
  ByteTokenizer tokenizer;
  // A byte that nothing can follow at once; an unfinished character with the next one, or at the
  // end.
  const Streamed streamed = stream(tokenizer, {}, {0xFF, 0xE2, 'a', 0x80, 0xF0, 0x9F});
  EXPECT_EQ(streamed.parts, (std::vector<std::string>{"\xFF", "",
                                                      "\xE2"
                                                      "a",
                                                      "\x80", "", "", "\xF0\x9F"}));
}

TEST(TextStream, PiecesKeepTheirSpaceAndBytesTheirCharacter) {
  PieceDecoder tokenizer;
  const Streamed streamed = stream(tokenizer, {300}, {301, 0xE2, 0x82, 0xAC, 510, 302, 0xE2});
  EXPECT_EQ(streamed.parts,
            (std::vector<std::string>{" w301", "", "", "\u20ac", "", " w302", "", "\xEF\xBF\xBD"}));
}

TEST(TextStream, PartsTogetherAreTheTextWhateverItsLength) {
  PieceDecoder pieces;
  ByteTokenizer bytes;
  for (std::uint32_t seed = 1; seed < 40; ++seed) {
    std::uint32_t state = seed;
    const auto next = [&](std::uint32_t below) {
      state = state * 1664525 + 1013904223;
      return static_cast<std::int32_t>((state >> 8) % below);
    };
    std::vector<std::int32_t> before;
    std::vector<std::int32_t> tokens;
    for (int i = next(40); i >= 0; --i) before.push_back('a' + next(26));
    for (int i = next(200); i >= 0; --i) tokens.push_back(next(3) ? next(256) : 0xE0 + next(20));
    std::vector<std::int32_t> all = before;
    all.insert(all.end(), tokens.begin(), tokens.end());
    for (Tokenizer* tokenizer :
         {static_cast<Tokenizer*>(&pieces), static_cast<Tokenizer*>(&bytes)}) {
      const Streamed streamed = stream(*tokenizer, before, tokens);
      EXPECT_EQ(tokenizer->decode(before) + streamed.text(), tokenizer->decode(all)) << seed;
      std::string out;
      for (std::size_t i = 0; i + 1 < streamed.parts.size(); ++i) {
        out += streamed.parts[i];
        if (streamed.parts[i].empty()) continue;
        // What is out never ends within a character that its next bytes complete.
        const std::string rest = streamed.text().substr(out.size());
        if (rest.empty()) continue;
        const std::size_t back = std::min<std::size_t>(3, out.size());
        for (std::size_t j = 1; j <= back; ++j) {
          EXPECT_LE(utf8_character_bytes(streamed.text(), out.size() - j), j) << seed;
        }
      }
    }
  }
}

TEST(TextStream, NoTokensNoText) {
  ByteTokenizer tokenizer;
  TextStream text(tokenizer, {'a'});
  EXPECT_EQ(text.finish(), "");
}

}  // namespace
}  // namespace hetmoe
