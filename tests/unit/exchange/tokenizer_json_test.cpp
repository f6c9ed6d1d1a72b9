#include "runtime/exchange/tokenizer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/base/error.h"

namespace hetmoe {
namespace {

using ::testing::ElementsAre;
using Kind = SentencePieceModel::Kind;

SentencePieceModel small_model() {
  SentencePieceModel model;
  model.is_bpe = true;
  model.remove_extra_whitespaces = false;
  model.add_dummy_prefix = false;
  model.pieces = {{"<unk>", 0, Kind::kUnknown}, {"</s>", 0, Kind::kControl}};
  for (int byte = 0; byte < 256; ++byte) {
    model.pieces.push_back({"<0x" + std::to_string(byte) + ">", 0, Kind::kByte});
  }
  model.pieces.insert(model.pieces.end(),
                      {{"ab", -5}, {"abc", -2}, {"a", -7}, {"b", -8}, {"c", -9}});
  return model;
}

TEST(TokenizerJson, MergesWhatMakesAPieceThoseOfTheHighestScoreFirst) {
  const auto json = nlohmann::json::parse(*tokenizer_json(small_model(), "f"));
  EXPECT_THAT(json["model"]["merges"], ElementsAre("ab c", "a b"));
  EXPECT_EQ(json["model"]["vocab"].size(), 263U);
  EXPECT_EQ(json["model"]["vocab"]["abc"], 259);
  EXPECT_EQ(json["added_tokens"].size(), 2U);
}

TEST(TokenizerJson, OtherKindsOfModelsAreNotGuessedAt) {
  SentencePieceModel unigram = small_model(), mapped = small_model(), trimming = small_model(),
                     no_bytes = small_model();
  unigram.is_bpe = false;
  mapped.has_character_map = true;
  trimming.remove_extra_whitespaces = true;
  no_bytes.pieces.erase(no_bytes.pieces.begin() + 10);
  for (const auto& model : {unigram, mapped, trimming, no_bytes}) {
    EXPECT_FALSE(tokenizer_json(model, "f"));
  }
}

TEST(TokenizerJson, PiecesThatAreNotUtf8AreRefused) {
  SentencePieceModel model = small_model();
  model.pieces.push_back({"\xff", -10});
  EXPECT_THROW(tokenizer_json(model, "f"), StorageError);
}

TEST(SentencePieceModelReader, ReadsTheWireAndTrustsNothing) {
  // pieces: {"hi", -1.5, normal}, {"</s>", control}; trainer: bpe, no begin, end 1; normalizer.
  const std::string piece("\x0a\x0b\x0a\x02hi\x15\x00\x00\xc0\xbf\x18\x01", 13);
  const std::string end("\x0a\x08\x0a\x04</s>\x18\x03", 10);
  const std::string trainer(
      "\x12\x11\x18\x02\xc8\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\xd0\x02\x01", 19);
  const std::string normalizer("\x1a\x04\x18\x00\x20\x00", 6);
  const std::string whole = piece + end + trainer + normalizer;
  const SentencePieceModel model = read_sentencepiece_model(whole, "f");
  ASSERT_EQ(model.pieces.size(), 2U);
  EXPECT_EQ(model.pieces[0].text, "hi");
  EXPECT_EQ(model.pieces[0].score, -1.5F);
  EXPECT_EQ(model.pieces[1].kind, Kind::kControl);
  EXPECT_TRUE(model.is_bpe);
  EXPECT_EQ(model.begin_token, -1);
  EXPECT_EQ(model.end_token, 1);
  EXPECT_FALSE(model.add_dummy_prefix);
  EXPECT_FALSE(model.remove_extra_whitespaces);
  EXPECT_TRUE(model.escape_whitespaces);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    try {
      read_sentencepiece_model(whole.substr(0, length), "f");  // some prefixes are models too
    } catch (const StorageError&) {
    }
  }
  for (const std::string& wrong : {std::string("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10),
                                   std::string(11, '\xff'), std::string("\x0b"), std::string()}) {
    EXPECT_THROW(read_sentencepiece_model(wrong, "f"), StorageError);
  }
}

}  // namespace
}  // namespace hetmoe
