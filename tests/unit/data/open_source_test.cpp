#include "core/data/open_source.h"

#include <gmock/gmock.h>

#include <random>

#include "core/base/error.h"
#include "core/data/shard_batch_reader.h"
#include "flat_file.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

constexpr std::int64_t kAnyId = std::int64_t{1} << 31;
constexpr std::int32_t kEnd = 50256;

std::vector<std::int32_t> read_all(const TokenSource& source) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(source.num_tokens()));
  source.read_checked(0, tokens, kAnyId);
  return tokens;
}

std::string refusal_of(const std::string& name) {
  const auto message = message_of<StorageError>([&] { open_token_source(name); });
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

// Endings that mean another format or none: content decides.
TEST(OpenTokenSource, KnowsBothVersionsOfLlmCByTheirContent) {
  const TemporaryFolder folder;
  const auto first = open_token_source(folder.write("a.txt", gpt2_file({7, 50256, 65535}).bytes()));
  EXPECT_EQ(first->format(), "llm.c version 1");
  EXPECT_EQ(first->token_type(), TokenType::kUint16);
  EXPECT_THAT(read_all(*first), ElementsAre(7, 50256, 65535));
  const auto second = open_token_source(folder.write("b.idx", llama3_file({128000, 9}).bytes()));
  EXPECT_EQ(second->format(), "llm.c version 7");
  EXPECT_EQ(second->token_type(), TokenType::kUint32);
  EXPECT_THAT(read_all(*second), ElementsAre(128000, 9));
}

TEST(OpenTokenSource, TakesAFileWithoutAHeaderForNanoGpt) {
  const TemporaryFolder folder;
  const auto source =
      open_token_source(folder.write("tokens", token_bytes<std::uint16_t>({0, 1, 65535, 50256})));
  EXPECT_EQ(source->format(), "nanoGPT");
  EXPECT_FALSE(source->indexed_documents().has_value());
  EXPECT_THAT(read_all(*source), ElementsAre(0, 1, 65535, 50256));
}

template <typename Stored>
std::vector<std::int32_t> through_megatron(std::uint8_t code, std::vector<std::int64_t> tokens) {
  const TemporaryFolder folder;
  const auto count = static_cast<std::int32_t>(tokens.size());
  const HandMadeShard made{.type_code = code,
                           .num_sequences = 1,
                           .num_indices = 2,
                           .lengths = {count},
                           .offsets = {0},
                           .document_indices = {0, 1},
                           .tokens = token_bytes<Stored>(tokens)};
  return read_all(*open_token_source(made.write(folder)));
}

TEST(OpenTokenSource, ReadsMegatronsIntegersOfEveryWidth) {
  EXPECT_THAT(through_megatron<std::uint8_t>(1, {0, 255}), ElementsAre(0, 255));
  EXPECT_THAT(through_megatron<std::int8_t>(2, {0, 127}), ElementsAre(0, 127));
  EXPECT_THAT(through_megatron<std::int16_t>(3, {32767, 1}), ElementsAre(32767, 1));
  EXPECT_THAT(through_megatron<std::int32_t>(4, {70000, 2}), ElementsAre(70000, 2));
  EXPECT_THAT(through_megatron<std::int64_t>(5, {2147483647, 3}), ElementsAre(2147483647, 3));
  EXPECT_THAT(through_megatron<std::uint16_t>(8, {65535, 4}), ElementsAre(65535, 4));
}

TEST(OpenTokenSource, NamesTheByteOfAnIdThatDoesNotFit) {
  EXPECT_THAT(message_of<StorageError>([] {
                through_megatron<std::int8_t>(2, {1, -1});
              }),
              HasSubstr("shard.bin: at byte 1: found token id -1, expected 0 to"));
  EXPECT_THAT(message_of<StorageError>([] {
                through_megatron<std::int64_t>(5, {1, std::int64_t{1} << 31});
              }),
              HasSubstr("shard.bin: at byte 8: found token id 2147483648, expected"));
  const TemporaryFolder folder;
  const auto source =
      open_token_source(folder.write("llama", llama3_file({1, 2, 4294967295}).bytes()));
  std::vector<std::int32_t> tokens(3);
  EXPECT_THAT(message_of<StorageError>([&] { source->read_checked(0, tokens, 128256); }),
              HasSubstr("llama: at byte 1032: found token id 4294967295, expected 0 to 128255"));
}

TEST(OpenTokenSource, TakesAPairByItsPrefixItsIndexOrItsTokens) {
  const TemporaryFolder folder;
  const std::string prefix = HandMadeShard{}.write(folder);
  for (const char* ending : {"", ".idx", ".bin"}) {
    const auto source = open_token_source(prefix + ending);
    EXPECT_EQ(source->format(), "Megatron") << ending;
    EXPECT_EQ(source->name(), prefix);
  }
  std::filesystem::create_directory(prefix);  // a folder of that name is in nobody's way
  EXPECT_EQ(open_token_source(prefix)->format(), "Megatron");
}

TEST(OpenTokenSource, RefusesANameThatStandsForTwoShards) {
  const TemporaryFolder folder;
  const std::string prefix = HandMadeShard{}.write(folder);
  folder.write("shard", gpt2_file({1}).bytes());
  EXPECT_THAT(refusal_of(prefix), HasSubstr("shard' names both a file and the pair of '"));
  EXPECT_THAT(refusal_of(prefix + "*"), HasSubstr("names both a file and the pair"));
}

TEST(OpenTokenSource, DoesNotTakeTheTokensOfABrokenPairForNanoGpt) {
  const TemporaryFolder folder;
  const std::string prefix = HandMadeShard{}.write(folder);
  for (const char* index : {"", "MMIDIDX", "something else"}) {
    folder.write("shard.idx", index);
    EXPECT_THAT(refusal_of(prefix + ".bin"), HasSubstr("shard.idx: at byte ")) << index;
    EXPECT_THAT(refusal_of(folder / "*.bin"), HasSubstr("shard.idx: at byte ")) << index;
  }
}

struct Foreign {
  const char* name;
  std::string bytes;
  const char* message;
};

class ForeignFile : public testing::TestWithParam<Foreign> {};

TEST_P(ForeignFile, IsRefusedByName) {
  const TemporaryFolder folder;
  const std::string message = refusal_of(folder.write("file", GetParam().bytes));
  EXPECT_THAT(message, HasSubstr(folder / "file"));
  EXPECT_THAT(message, HasSubstr(GetParam().message));
}

std::string with_count(std::int32_t count, std::size_t body_bytes) {
  return LlmCFile{.count = count, .tokens = std::string(body_bytes, '\1')}.bytes();
}

INSTANTIATE_TEST_SUITE_P(
    Each, ForeignFile,
    testing::Values(
        Foreign{"Evaluation", LlmCFile{.magic = 20240522}.bytes(),
                "multiple-choice questions of llm.c (magic number 20240522), expected tokens: of "
                "llm.c (magic number 20240520 or 20240801), of nanoGPT (16 bits each, no header), "
                "or the PREFIX of Megatron's .idx and .bin"},
        Foreign{"Version", LlmCFile{.version = 2}.bytes(),
                "at byte 4: found version 2, expected 1 (llm.c with magic number 20240520)"},
        Foreign{"VersionOfTheOther", LlmCFile{.magic = 20240801, .version = 1}.bytes(),
                "at byte 4: found version 1, expected 7"},
        Foreign{"CutHeader", LlmCFile{}.bytes().substr(0, 1023),
                "at byte 1023: found the end of the file, expected a header of 1024 bytes"},
        Foreign{"OnlyMagic", LlmCFile{}.bytes().substr(0, 4), "at byte 4: found the end"},
        Foreign{"TooMany", with_count(4, 6), "at byte 8: found 4 tokens, expected 3 of 2 bytes"},
        Foreign{"TooFew", with_count(2, 6), "at byte 8: found 2 tokens, expected 3 of 2 bytes"},
        Foreign{"HalfAToken", with_count(2, 5),
                "at byte 8: found 2 tokens, expected 2 of 2 bytes "
                "each in a file of 1029 bytes"},
        Foreign{"Negative", with_count(-1, 0), "found -1 tokens, expected 0 of 2 bytes"},
        // 2^30 + 1 tokens of 4 bytes would be 4 bytes in 32 bits.
        Foreign{"Overflowing",
                LlmCFile{.magic = 20240801,
                         .version = 7,
                         .count = 1073741825,
                         .tokens = std::string(4, '\1')}
                    .bytes(),
                "found 1073741825 tokens, expected 1 of 4 bytes"},
        Foreign{"Odd", std::string(5, '\0'), "5 bytes, an odd number, expected tokens"},
        Foreign{"Empty", "", "is empty, expected tokens"},
        Foreign{"Text", "Once upon a time there was\nan even number of bytes.\n",
                "text (hetmoe data prepare makes tokens of it)"},
        Foreign{"Gzip", std::string("\x1F\x8B\x08\x00", 4), "a gzip file"},
        Foreign{"Zstd", std::string("\x28\xB5\x2F\xFD\x00\x00", 6), "a zstd file"},
        Foreign{"NumPy", std::string("\x93NUMPY\x01\x00", 8), "a NumPy file (write the array"},
        Foreign{"Zip", std::string("PK\x03\x04\x00\x00", 6), "a zip file"},
        Foreign{"Parquet", std::string("PAR1\x15\x00", 6), "a Parquet file"},
        Foreign{"Arrow", std::string("ARROW1\x00\x00", 8), "an Arrow file"},
        Foreign{"IndexOfOtherName", HandMadeShard{}.index_bytes(),
                "an index of Megatron, whose name must end in .idx"}),
    [](const auto& each) { return each.param.name; });

TEST(OpenTokenSource, SaysWhereItLookedForWhatIsNotThere) {
  const TemporaryFolder folder;
  EXPECT_THAT(refusal_of(folder / "none"),
              testing::AllOf(HasSubstr("no token shard '"), HasSubstr("none.idx' of a pair"),
                             HasSubstr("nor a file '"), HasSubstr("none' of llm.c or nanoGPT")));
  EXPECT_THAT(refusal_of(folder / "none_*.bin"), HasSubstr("no token shards match '"));
  std::filesystem::create_directory(folder / "shards");
  EXPECT_THAT(refusal_of(folder / "shards"), HasSubstr("is a folder, expected token shards in it"));
}

// By bytes, so that it does not depend on the machine's language.
TEST(OpenTokenSource, ReadsThePartsOfAPatternInTheOrderOfTheirNames) {
  const TemporaryFolder folder;
  folder.write("part_2.bin", gpt2_file({20, 21}).bytes());
  folder.write("part_10.bin", gpt2_file({10, 11, 12}).bytes());
  folder.write("part_1.bin", gpt2_file({1}).bytes());
  folder.write("Part_3.bin", gpt2_file({30}).bytes());
  folder.write("valid.bin", gpt2_file({99}).bytes());
  const auto source = open_token_source(folder / "[pP]art_*.bin");
  EXPECT_THAT(read_all(*source), ElementsAre(30, 1, 10, 11, 12, 20, 21));
  EXPECT_EQ(source->num_files(), 4);
  EXPECT_THAT(shard_names(folder / "part_?.bin"),
              ElementsAre(folder / "part_1.bin", folder / "part_2.bin"));
}

TEST(OpenTokenSource, TakesEachPairOfAPatternOnce) {
  const TemporaryFolder folder;
  HandMadeShard{}.write(folder, "b");
  HandMadeShard{}.write(folder, "a");
  folder.write("a.json", "not looked at when names are found");
  for (const char* pattern : {"*", "?", "*.idx", "*.bin", "[ab]"}) {
    EXPECT_THAT(shard_names(folder / pattern), ElementsAre(folder / "a", folder / "b")) << pattern;
  }
  std::filesystem::remove(folder / "a.json");
  const auto source = open_token_source(folder / "*");
  EXPECT_EQ(source->indexed_documents(), 4);
  EXPECT_THAT(read_all(*source), ElementsAre(1, 2, 3, 4, 5, 0xFEFF, 1, 2, 3, 4, 5, 0xFEFF));
}

TEST(OpenTokenSource, RefusesPartsOfDifferentFormats) {
  const TemporaryFolder folder;
  folder.write("a", gpt2_file({1}).bytes());
  folder.write("b", token_bytes<std::uint16_t>({1}));
  EXPECT_THAT(refusal_of(folder / "?"),
              testing::AllOf(HasSubstr("b is nanoGPT uint16, allowed: llm.c version 1 uint16 as "),
                             HasSubstr(folder / "a")));
}

std::string described_by(const std::string& digest) {
  return to_json({.tokenizer_name = "bytes",
                  .vocab_size = 70000,
                  .tokenizer_digest = digest,
                  .end_of_document = 256,
                  .raw_bytes = 40,
                  .documents = 2,
                  .tokens = 6});
}

TEST(OpenTokenSource, AddsUpWhatIsToldOfThePartsOfOneTokenizer) {
  const TemporaryFolder folder;
  HandMadeShard{}.write(folder, "a");
  HandMadeShard{}.write(folder, "b");
  folder.write("a.json", described_by("xxh3-128:1"));
  EXPECT_FALSE(open_token_source(folder / "*")->sidecar().has_value());
  folder.write("b.json", described_by("xxh3-128:1"));
  const auto sidecar = open_token_source(folder / "*")->sidecar();
  ASSERT_TRUE(sidecar.has_value());
  EXPECT_EQ(sidecar->raw_bytes, 80);
  EXPECT_EQ(sidecar->documents, 4);
  EXPECT_EQ(sidecar->tokens, 12);
  folder.write("b.json", described_by("xxh3-128:2"));
  EXPECT_THAT(
      message_of<ConfigError>([&] { open_token_source(folder / "*"); }),
      HasSubstr("/b holds tokens of the tokenizer xxh3-128:2 (bytes, vocabulary of 70000)"));
}

/// Where documents begin, from the definitions, in a corpus of several files.
std::vector<bool> document_begins(const std::vector<std::vector<std::int64_t>>& files,
                                  bool end_stands_before) {
  std::vector<bool> begins;
  for (const auto& file : files) {
    for (std::size_t i = 0; i < file.size(); ++i) {
      begins.push_back(end_stands_before ? file[i] == kEnd : i == 0 || file[i - 1] == kEnd);
    }
  }
  return begins;
}

void expect_documents(const TokenSource& source, const std::vector<bool>& begins) {
  const std::vector<std::int32_t> tokens = read_all(source);
  ASSERT_EQ(tokens.size(), begins.size());
  for (std::size_t begin = 0; begin < tokens.size(); ++begin) {
    for (std::size_t end = begin; end <= tokens.size(); ++end) {
      std::vector<std::int64_t> expected;
      for (std::size_t i = begin; i < end; ++i) {
        if (begins[i]) expected.push_back(static_cast<std::int64_t>(i - begin));
      }
      std::vector<std::int64_t> found;
      source.find_documents(static_cast<std::int64_t>(begin),
                            std::span(tokens).subspan(begin, end - begin), found);
      ASSERT_THAT(found, ElementsAreArray(expected)) << begin << " to " << end;
    }
  }
}

TEST(FlatDocuments, AreFoundInEveryWindowOfSeveralFiles) {
  std::mt19937 random(5);
  for (int round = 0; round < 20; ++round) {
    const TemporaryFolder folder;
    std::vector<std::vector<std::int64_t>> files(3);
    for (std::size_t file = 0; file < files.size(); ++file) {
      const std::size_t count = 1 + random() % 12;
      for (std::size_t i = 0; i < count; ++i) {
        files[file].push_back(random() % 3 == 0 ? kEnd : static_cast<std::int64_t>(random() % 9));
      }
      // Two bytes of 50256 alone would be two characters.
      files[file].insert(files[file].begin() + static_cast<std::ptrdiff_t>(random() % count), 3);
      const std::string number = std::to_string(file);
      folder.write("llm" + number, gpt2_file(files[file]).bytes());
      folder.write("nano" + number, token_bytes<std::uint16_t>(files[file]));
    }
    expect_documents(*open_token_source(folder / "llm?"), document_begins(files, true));
    expect_documents(*open_token_source(folder / "nano?"), document_begins(files, false));
  }
}

TEST(FlatDocuments, OfLlama3BeginWithItsOwnId) {
  const TemporaryFolder folder;
  const auto source = open_token_source(
      folder.write("llama", llama3_file({128000, 5, kEnd, 128000, 128000, 6}).bytes()));
  expect_documents(*source, {true, false, false, true, true, false});
}

TEST(IndexedDocuments, AreFoundInEveryWindowPastEmptyOnes) {
  const TemporaryFolder folder;
  const HandMadeShard made{.num_sequences = 5,
                           .num_indices = 6,
                           .lengths = {2, 0, 0, 3, 1},
                           .offsets = {0, 4, 4, 4, 10},
                           .document_indices = {0, 1, 2, 3, 4, 5}};
  made.write(folder, "a");
  made.write(folder, "b");
  const std::vector<bool> one = {true, false, true, false, false, true};
  expect_documents(*open_token_source(folder / "a"), one);
  std::vector<bool> both = one;
  both.insert(both.end(), one.begin(), one.end());
  expect_documents(*open_token_source(folder / "*"), both);
}

TEST(ShardBatchReader, KeepsAttentionWithinDocumentsThatHaveNoIndex) {
  const TemporaryFolder folder;
  const std::vector<std::int64_t> tokens = {1, 2, kEnd, 3, kEnd, kEnd, 4, 5, 6, kEnd, 7};
  const ShardReaderOptions options = {.seed = 1,
                                      .sequence_length = 5,
                                      .global_batch = 1,
                                      .vocab_size = 50257,
                                      .attention_across_documents = false};
  const auto begins_of = [&](const std::string& name) {
    Batch batch;
    ShardBatchReader(open_token_source(name), options).read_sequential(0, 2, batch);
    return batch.document_begin;
  };
  EXPECT_THAT(begins_of(folder.write("nano", token_bytes<std::uint16_t>(tokens))),
              ElementsAre(0, 0, 0, 3, 3, 0, 1, 1, 1, 1));
  EXPECT_THAT(begins_of(folder.write("llm", gpt2_file(tokens).bytes())),
              ElementsAre(0, 0, 2, 2, 4, 0, 0, 0, 0, 4));
}

// 64 GiB of which the disk holds a few bytes: what copied or scanned them would be noticed.
TEST(OpenTokenSource, ReadsTheEndOfACorpusThatNoMemoryHolds) {
  const TemporaryFolder folder;
  const std::string path = folder.write("huge", token_bytes<std::uint16_t>({1, 2}));
  constexpr std::int64_t kTokens = std::int64_t{1} << 35;
  std::filesystem::resize_file(path, 2 * kTokens);
  const auto source = open_token_source(path);
  ASSERT_EQ(source->num_tokens(), kTokens);
  std::vector<std::int32_t> tokens(2);
  source->read_checked(kTokens - 2, tokens, 1);
  EXPECT_THAT(tokens, ElementsAre(0, 0));
}

}  // namespace
}  // namespace hetmoe
