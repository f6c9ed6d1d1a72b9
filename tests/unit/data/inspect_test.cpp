#include "core/data/inspect.h"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/data/prepare.h"
#include "core/data/token_shard.h"
#include "flat_file.h"

namespace hetmoe {
namespace {

using testing::HasSubstr;

TEST(UnigramEntropy, IsThatOfTheTokenCounts) {
  const TemporaryFolder folder;
  HandMadeShard made;  // six tokens
  made.tokens = std::string("\x05\0\x05\0\x05\0\x07\0\x07\0\x09\0", 12);
  const TokenShard shard = TokenShard::open(made.write(folder));
  const double expected = std::log(2) / 2 + std::log(3) / 3 + std::log(6) / 6;
  EXPECT_NEAR(unigram_entropy_nats(shard), expected, 1e-12);
}

TEST(UnigramEntropy, OfUniformTokensIsTheLogarithmOfTheirNumber) {
  const TemporaryFolder folder;
  const TokenShard shard = TokenShard::open(HandMadeShard{}.write(folder));
  EXPECT_NEAR(unigram_entropy_nats(shard), std::log(6), 1e-12);
}

TEST(InspectShard, TellsWhatAForeignShardHolds) {
  const TemporaryFolder folder;
  const std::string prefix = HandMadeShard{}.write(folder);
  const auto json = nlohmann::json::parse(inspect_shard(prefix, true));
  EXPECT_EQ(json["token_type"], "uint16");
  EXPECT_EQ(json["tokens"], 6);
  EXPECT_EQ(json["documents"], 2);
  EXPECT_EQ(json["document_tokens"]["shortest"], 1);
  EXPECT_EQ(json["document_tokens"]["mean"], 3.0);
  EXPECT_EQ(json["document_tokens"]["longest"], 5);
  EXPECT_EQ(json["distinct_tokens"], 6);
  EXPECT_EQ(json["first_tokens"], nlohmann::json({1, 2, 3, 4, 5, 0xFEFF}));
  EXPECT_FALSE(json.contains("tokenizer"));
}

TEST(InspectShard, CountsDocumentsOfFormatsWithoutAnIndex) {
  const TemporaryFolder folder;
  const std::vector<std::int64_t> first = {50256, 1, 2, 50256, 3};
  const std::vector<std::int64_t> second = {4, 5, 50256, 6};  // goes on with the last document
  folder.write("llm_0.bin", gpt2_file(first).bytes());
  folder.write("llm_1.bin", gpt2_file(second).bytes());
  const auto llm = nlohmann::json::parse(inspect_shard(folder / "llm_*.bin", true));
  EXPECT_EQ(llm["shard"], folder / "llm_*.bin");
  EXPECT_EQ(llm["format"], "llm.c version 1");
  EXPECT_EQ(llm["vocabulary"], "GPT-2");
  EXPECT_EQ(llm["files"], 2);
  EXPECT_EQ(llm["token_type"], "uint16");
  EXPECT_EQ(llm["tokens"], 9);
  EXPECT_EQ(llm["documents"], 3);
  EXPECT_EQ(llm["document_tokens"]["shortest"], 2);
  EXPECT_EQ(llm["document_tokens"]["mean"], 3.0);
  EXPECT_EQ(llm["document_tokens"]["longest"], 4);
  EXPECT_EQ(llm["most_frequent"][0]["id"], 50256);

  folder.write("nano", token_bytes<std::uint16_t>({1, 2, 50256, 3, 50256, 4}));
  const std::string nano = inspect_shard(folder / "nano", false);
  EXPECT_THAT(nano, HasSubstr("format                 nanoGPT\n"));
  EXPECT_THAT(nano, HasSubstr("documents              3\n"));
  EXPECT_THAT(nano, HasSubstr("shortest 1, mean 2.000, longest 3\n"));
}

// Blocks of 65,536 tokens are read: a document may lie in several.
TEST(InspectShard, CountsDocumentsThatAreLongerThanABlock) {
  const TemporaryFolder folder;
  std::vector<std::int64_t> tokens(200000, 7);
  for (const std::size_t at : {std::size_t{65535}, std::size_t{199999}}) tokens[at] = 50256;
  folder.write("nano", token_bytes<std::uint16_t>(tokens));
  folder.write("llm", gpt2_file(tokens).bytes());
  const auto nano = nlohmann::json::parse(inspect_shard(folder / "nano", true));
  EXPECT_EQ(nano["documents"], 2);
  EXPECT_EQ(nano["document_tokens"]["shortest"], 65536);
  EXPECT_EQ(nano["document_tokens"]["longest"], 134464);
  const auto llm = nlohmann::json::parse(inspect_shard(folder / "llm", true));
  EXPECT_EQ(llm["documents"], 3);
  EXPECT_EQ(llm["document_tokens"]["shortest"], 1);
  EXPECT_EQ(llm["document_tokens"]["longest"], 134464);
}

TEST(InspectShard, TellsOfEmptyDocumentsThatAnIndexCounts) {
  const TemporaryFolder folder;
  const HandMadeShard made{.num_sequences = 2,
                           .num_indices = 4,
                           .lengths = {2, 4},
                           .offsets = {0, 4},
                           .document_indices = {0, 1, 1, 2}};
  const auto json = nlohmann::json::parse(inspect_shard(made.write(folder), true));
  EXPECT_EQ(json["documents"], 3);
  EXPECT_EQ(json["document_tokens"]["shortest"], 0);
  EXPECT_EQ(json["document_tokens"]["longest"], 4);
}

TEST(InspectShard, ShowsTextWhereTheTokenizerIsKnown) {
  const TemporaryFolder folder;
  prepare({.inputs = {folder.write("text", "aab\n\nab\xFF\n")},
           .out_directory = folder / "out",
           .tokenizer = "bytes",
           .valid_fraction = 0,
           .document_separator = "blank-line"});
  const auto json = nlohmann::json::parse(inspect_shard(folder / "out/train", true));
  EXPECT_EQ(json["first_text"], "aabab\xEF\xBF\xBD");
  EXPECT_EQ(json["most_frequent"][0]["id"], 97);
  EXPECT_EQ(json["most_frequent"][0]["count"], 3);
  EXPECT_EQ(json["most_frequent"][0]["text"], "a");
  EXPECT_EQ(json["raw_bytes"], 6);
  EXPECT_EQ(json["bytes_per_token"], 0.75);
  const std::string text = inspect_shard(folder / "out/train", false);
  EXPECT_THAT(text, HasSubstr("tokens                 8\n"));
  EXPECT_THAT(text, HasSubstr("shortest 4, mean 4.000, longest 4"));
  EXPECT_THAT(text, HasSubstr("3 x id 97 \"a\"\n"));
}

TEST(InspectShard, DescribesAnEmptyShard) {
  const TemporaryFolder folder;
  const HandMadeShard empty{.num_sequences = 0,
                            .num_indices = 1,
                            .lengths = {},
                            .offsets = {},
                            .document_indices = {0},
                            .tokens = ""};
  const std::string prefix = empty.write(folder);
  EXPECT_EQ(nlohmann::json::parse(inspect_shard(prefix, true))["unigram_entropy_nats"], 0.0);
  EXPECT_THAT(inspect_shard(prefix, false), HasSubstr("tokens                 0\n"));
}

TEST(InspectShard, RefusesIdsThatNoVocabularyHolds) {
  const TemporaryFolder folder;
  const HandMadeShard made{.type_code = 4,
                           .num_sequences = 1,
                           .num_indices = 2,
                           .lengths = {1},
                           .offsets = {0},
                           .document_indices = {0, 1},
                           .tokens = little_endian<std::int32_t>(2147483647)};
  const std::string prefix = made.write(folder);
  EXPECT_THAT(message_of<StorageError>([&] { inspect_shard(prefix, true); }),
              HasSubstr("found token id 2147483647, expected 0 to 16777215"));
}

}  // namespace
}  // namespace hetmoe
