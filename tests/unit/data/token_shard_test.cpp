#include "core/data/token_shard.h"

#include <gmock/gmock.h>

#include <functional>
#include <limits>

#include "core/base/error.h"
#include "hand_made_shard.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::int32_t> read_all(const TokenShard& shard) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(shard.num_tokens()));
  shard.read(0, tokens);
  return tokens;
}

TEST(TokenShard, ReadsTwoByteTokensOfDocumentsWithSeveralSequences) {
  const TemporaryFolder folder;
  const TokenShard shard = TokenShard::open(HandMadeShard{}.write(folder));
  EXPECT_EQ(shard.token_type(), TokenType::kUint16);
  EXPECT_EQ(shard.num_documents(), 2);
  EXPECT_EQ(shard.document_begin(0), 0);
  EXPECT_EQ(shard.document_begin(1), 5);
  EXPECT_EQ(shard.document_begin(2), 6);
  EXPECT_THAT(read_all(shard), ElementsAre(1, 2, 3, 4, 5, 0xFEFF));
  EXPECT_FALSE(shard.sidecar().has_value());
}

TEST(TokenShard, ReadsFourByteTokens) {
  const TemporaryFolder folder;
  const HandMadeShard made{
      .type_code = 4,
      .num_sequences = 1,
      .num_indices = 2,
      .lengths = {2},
      .offsets = {0},
      .document_indices = {0, 1},
      .tokens = little_endian<std::int32_t>(70000) + little_endian<std::int32_t>(-1)};
  const TokenShard shard = TokenShard::open(made.write(folder));
  EXPECT_THAT(read_all(shard), ElementsAre(70000, -1));
}

TEST(TokenShard, FindsTheDocumentOfEachTokenPastEmptyOnes) {
  const TemporaryFolder folder;
  const HandMadeShard made{.num_sequences = 4,
                           .num_indices = 5,
                           .lengths = {2, 0, 3, 1},
                           .offsets = {0, 4, 4, 10},
                           .document_indices = {0, 1, 2, 3, 4}};
  const TokenShard shard = TokenShard::open(made.write(folder));
  std::vector<std::int64_t> documents;
  for (std::int64_t token = 0; token < 6; ++token) documents.push_back(shard.document_at(token));
  EXPECT_THAT(documents, ElementsAre(0, 0, 2, 2, 2, 3));
}

TEST(TokenShard, AcceptsOneModeBytePerSequenceAndAnEmptyCorpus) {
  const TemporaryFolder folder;
  EXPECT_EQ(TokenShard::open(HandMadeShard{.tail = "abc"}.write(folder)).num_tokens(), 6);
  const HandMadeShard empty{.num_sequences = 0,
                            .num_indices = 1,
                            .lengths = {},
                            .offsets = {},
                            .document_indices = {0},
                            .tokens = ""};
  EXPECT_EQ(TokenShard::open(empty.write(folder)).num_documents(), 0);
}

TEST(TokenShard, MovesWithoutLosingItsMapping) {
  const TemporaryFolder folder;
  TokenShard first = TokenShard::open(HandMadeShard{}.write(folder));
  const TokenShard second = std::move(first);
  EXPECT_THAT(read_all(second), ElementsAre(1, 2, 3, 4, 5, 0xFEFF));
}

TEST(TokenShard, NamesTheOffsetOfATokenOutsideTheVocabulary) {
  const TemporaryFolder folder;
  const TokenShard shard = TokenShard::open(HandMadeShard{}.write(folder));
  std::vector<std::int32_t> tokens(3);
  shard.read_checked(2, tokens, 6);
  EXPECT_THAT(tokens, ElementsAre(3, 4, 5));
  const auto message = message_of<StorageError>([&] { shard.read_checked(3, tokens, 6); });
  EXPECT_THAT(message, HasSubstr("shard.bin: at byte 10: found token id 65279, expected 0 to 5"));
}

struct Fault {
  const char* name;
  std::function<void(HandMadeShard&)> inflict;
  const char* message;
};

class FaultyShard : public testing::TestWithParam<Fault> {};

TEST_P(FaultyShard, IsRefusedNamingOffsetAndExpectation) {
  const TemporaryFolder folder;
  HandMadeShard made;
  GetParam().inflict(made);
  const std::string prefix = made.write(folder);
  const auto message = message_of<StorageError>([&] { TokenShard::open(prefix); });
  EXPECT_THAT(message, HasSubstr(GetParam().message));
  EXPECT_THAT(message, HasSubstr(prefix));
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();
constexpr std::int64_t kFar = std::numeric_limits<std::int64_t>::max();

INSTANTIATE_TEST_SUITE_P(
    Each, FaultyShard,
    testing::Values(
        Fault{"Magic", [](auto& s) { s.magic[3] = 'X'; }, "shard.idx: at byte 0: found foreign"},
        Fault{"Version", [](auto& s) { s.version = 2; }, "at byte 9: found version 2, expected 1"},
        Fault{"Type", [](auto& s) { s.type_code = 9; },
              "at byte 17: found token type code 9, expected 1 (uint8), 2 (int8), 3 (int16), 4 "
              "(int32), 5 (int64) or 8 (uint16)"},
        Fault{"NoType", [](auto& s) { s.type_code = 0; }, "found token type code 0, expected 1"},
        Fault{"TypeOfOurs", [](auto& s) { s.type_code = 255; }, "found token type code 255"},
        Fault{"Float64", [](auto& s) { s.type_code = 6; },
              "at byte 17: found token type code 6 (float64), expected 1 (uint8)"},
        Fault{"Float32", [](auto& s) { s.type_code = 7; },
              "at byte 17: found token type code 7 (float32), expected 1 (uint8)"},
        Fault{"ManySequences", [](auto& s) { s.num_sequences = 6; },
              "at byte 18: found 6 sequences, expected at most 5 in a file of 94 bytes"},
        Fault{"OverflowingSequences", [](auto& s) { s.num_sequences = kHuge / 12 + 2; },
              "at byte 18: found 1537228672809129303 sequences"},
        Fault{"NoIndices", [](auto& s) { s.num_indices = 0; },
              "at byte 26: found 0 document indices, expected 1 to 3"},
        Fault{"OverflowingIndices", [](auto& s) { s.num_indices = kHuge / 8 + 4; },
              "at byte 26: found 2305843009213693955 document indices"},
        Fault{"Tail", [](auto& s) { s.tail = "ab"; },
              "at byte 94: found 2 bytes after the arrays, expected the end of the file"},
        Fault{"NegativeLength", [](auto& s) { s.lengths[1] = -1; },
              "at byte 38: found sequence length -1, expected 0 to 4"},
        Fault{"LengthBeyondTokens", [](auto& s) { s.lengths[1] = 5; },
              "at byte 38: found sequence length 5, expected 0 to 4"},
        Fault{"Gap", [](auto& s) { s.offsets[1] = 6; },
              "at byte 54: found sequence offset 6, expected 4"},
        Fault{"Overlap", [](auto& s) { s.offsets[2] = 4; },
              "at byte 62: found sequence offset 4, expected 10"},
        Fault{"NegativeOffset", [](auto& s) { s.offsets[0] = -2; },
              "at byte 46: found sequence offset -2, expected 0"},
        Fault{"ShortTokens", [](auto& s) { s.tokens.resize(11); },
              "at byte 42: found sequence length 1, expected 0 to 0"},
        Fault{"LongTokens", [](auto& s) { s.tokens += '\0'; },
              "shard.bin: at byte 12: found a file of 13 bytes, expected 12 bytes by"},
        Fault{"FirstIndex", [](auto& s) { s.document_indices[0] = 1; },
              "at byte 70: found document index 1, expected 0"},
        Fault{"FallingIndex", [](auto& s) { s.document_indices[1] = -1; },
              "at byte 78: found document index -1, expected 0 to 3"},
        Fault{"FarIndex", [](auto& s) { s.document_indices[1] = kFar; },
              "at byte 78: found document index 9223372036854775807, expected 0 to 3"},
        Fault{"LastIndex", [](auto& s) { s.document_indices[2] = 2; },
              "at byte 86: found document index 2, expected 3"}),
    [](const auto& each) { return each.param.name; });

TEST(TokenShard, RefusesAnIndexCutAtAnyByte) {
  const TemporaryFolder folder;
  const std::string prefix = HandMadeShard{}.write(folder);
  const std::string whole = HandMadeShard{}.index_bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    folder.write("shard.idx", whole.substr(0, size));
    EXPECT_THROW(TokenShard::open(prefix), StorageError) << size;
  }
}

TEST(TokenShard, SurvivesAnyOneByteChangedInItsIndex) {
  const TemporaryFolder folder;
  const std::string prefix = HandMadeShard{}.write(folder);
  for (std::size_t at = 0; at < HandMadeShard{}.index_bytes().size(); ++at) {
    for (const char change : {'\x01', '\x80', '\xFF'}) {
      std::string bytes = HandMadeShard{}.index_bytes();
      bytes[at] = static_cast<char>(bytes[at] ^ change);
      folder.write("shard.idx", bytes);
      try {
        const TokenShard shard = TokenShard::open(prefix);  // a document may begin elsewhere
        EXPECT_EQ(shard.num_tokens(), 6);
        EXPECT_EQ(read_all(shard).size(), 6U);
      } catch (const StorageError&) {
      }
    }
  }
}

TEST(TokenShard, NamesAMissingFileAndAFolder) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<StorageError>([&] { TokenShard::open(folder / "none"); }),
              HasSubstr("none.idx': No such file"));
  std::filesystem::create_directory(folder / "f.idx");
  EXPECT_THAT(message_of<StorageError>([&] { TokenShard::open(folder / "f"); }),
              HasSubstr("not a regular file"));
}

std::string sidecar_text(const std::string& replaced, const std::string& by) {
  std::string text = to_json({.tokenizer_name = "bytes",
                              .vocab_size = 257,
                              .tokenizer_digest = "xxh3-128:0",
                              .end_of_document = 256,
                              .raw_bytes = 4,
                              .documents = 2,
                              .tokens = 6});
  if (!replaced.empty()) text.replace(text.find(replaced), replaced.size(), by);
  return text;
}

TEST(TokenShard, TakesWhatItsSidecarTells) {
  const TemporaryFolder folder;
  const std::string prefix = HandMadeShard{}.write(folder);
  folder.write("shard.json", sidecar_text("", ""));
  const TokenShard shard = TokenShard::open(prefix);
  ASSERT_TRUE(shard.sidecar().has_value());
  EXPECT_EQ(shard.sidecar()->vocab_size, 257);
  EXPECT_EQ(shard.sidecar()->raw_bytes, 4);
}

TEST(TokenShard, RefusesASidecarThatIsForeignOrContradicts) {
  const TemporaryFolder folder;
  const std::string prefix = HandMadeShard{}.write(folder);
  const auto message = [&](const std::string& text) {
    folder.write("shard.json", text);
    return message_of<StorageError>([&] { TokenShard::open(prefix); });
  };
  EXPECT_THAT(message("{"), HasSubstr("shard.json: not a JSON object"));
  EXPECT_THAT(message("[]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(message("{}"), HasSubstr("key 'format' is missing"));
  EXPECT_THAT(message(sidecar_text("\"tokens\": 6", "\"tokens\": 7")),
              HasSubstr("'tokens' is 7, but "));
  EXPECT_THAT(message(sidecar_text("\"documents\": 2", "\"documents\": 1")),
              HasSubstr("'documents' is 1, but "));
  EXPECT_THAT(message(sidecar_text("257", "\"many\"")),
              HasSubstr("'vocab_size' is \"many\", expected an integer in [1, 16777216]"));
  EXPECT_THAT(message(sidecar_text("257", "18446744073709551615")),
              HasSubstr("expected an integer"));
  EXPECT_THAT(message(sidecar_text("256", "257")), HasSubstr("'end_of_document' is 257"));
  EXPECT_THAT(message(sidecar_text("\"version\": 1", "\"version\": 2")),
              HasSubstr("'version' is 2"));
  EXPECT_THAT(message(std::string(2 << 20, ' ')), HasSubstr("longer than 1 MiB"));
}

}  // namespace
}  // namespace hetmoe
