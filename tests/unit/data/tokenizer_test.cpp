#include "core/data/tokenizer.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "core/data/byte_tokenizer.h"
#include "core/data/child_process.h"
#include "core/data/sentencepiece_tokenizer.h"
#include "english_sample.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::string round_trip(Tokenizer& tokenizer, const std::string& text) {
  std::vector<std::int32_t> tokens;
  tokenizer.encode(text, tokens);
  return tokenizer.decode(tokens);
}

/// Every Unicode character once, surrogates left out.
std::string every_character() {
  std::string text;
  for (std::uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    if (c < 0x80) {
      text += static_cast<char>(c);
    } else if (c < 0x800) {
      text += {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 63))};
    } else if (c < 0x10000) {
      text += {static_cast<char>(0xE0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 63)),
               static_cast<char>(0x80 | (c & 63))};
    } else {
      text += {static_cast<char>(0xF0 | (c >> 18)), static_cast<char>(0x80 | ((c >> 12) & 63)),
               static_cast<char>(0x80 | ((c >> 6) & 63)), static_cast<char>(0x80 | (c & 63))};
    }
  }
  return text;
}

class SentencePieces : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    const std::string input = folder_->write("text", english_sample(3000));
    train_sentencepiece({.inputs = {input}, .vocab_size = 400, .out_prefix = *folder_ / "our"},
                        HETMOE_SENTENCEPIECE);
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  static std::string model() { return *folder_ / "our.model"; }

  static TemporaryFolder* folder_;
};

TemporaryFolder* SentencePieces::folder_ = nullptr;

TEST(ByteTokenizer, GivesBytesAndKeepsThem) {
  ByteTokenizer tokenizer;
  std::vector<std::int32_t> tokens;
  tokenizer.encode("a\xFF\n", tokens);
  EXPECT_THAT(tokens, ElementsAre(97, 255, 10));
  EXPECT_EQ(tokenizer.decode(std::vector<std::int32_t>{97, 256, 98}), "ab");
  EXPECT_EQ(tokenizer.vocab_size(), 257);
  EXPECT_THAT(tokenizer.digest(), testing::MatchesRegex("xxh3-128:[0-9a-f]+"));
  EXPECT_EQ(tokenizer.digest().size(), 41U);
}

TEST_F(SentencePieces, KnowsItsModel) {
  SentencePieceTokenizer tokenizer(model(), HETMOE_SENTENCEPIECE);
  EXPECT_EQ(tokenizer.vocab_size(), 400);
  EXPECT_EQ(tokenizer.end_of_document(), 2);
  EXPECT_TRUE(tokenizer.keeps_every_byte());
  EXPECT_THAT(tokenizer.digest(), StartsWith("xxh3-128:"));
}

TEST_F(SentencePieces, KeepAwkwardTextByteForByte) {
  SentencePieceTokenizer tokenizer(model(), HETMOE_SENTENCEPIECE);
  for (const std::string& text :
       {std::string(), std::string("\n"), std::string("  two  spaces  "),
        std::string("a\r\n\tb\n\n\n"), std::string("zero \0 byte", 11),
        std::string("\xE2\x96\x81\xE2\x96\x81 a\xE2\x96\x81"), std::string("\xE2\x96\x85"),
        std::string("<unk> <s> </s> <0x41>"),
        std::string(
            "\xEF\xBB\xBFmark e\xCC\x81 \xC3\xA9 \xEF\xAC\x81 \xEF\xBF\xBD \xF0\x9F\x98\x80"),
        std::string("bad \xFF\xC3( \xED\xA0\x80 \xE2\x96 end\xE2"), english_sample(200)}) {
    EXPECT_EQ(round_trip(tokenizer, text), text);
  }
}

TEST_F(SentencePieces, KeepEveryCharacterOfUnicode) {
  SentencePieceTokenizer tokenizer(model(), HETMOE_SENTENCEPIECE);
  const std::string text = every_character();
  EXPECT_TRUE(round_trip(tokenizer, text) == text);  // four megabytes: no print on failure
}

TEST_F(SentencePieces, KeepRandomBytes) {
  SentencePieceTokenizer tokenizer(model(), HETMOE_SENTENCEPIECE);
  std::uint64_t state = 1;
  for (int trial = 0; trial < 200; ++trial) {
    std::string text;
    for (int i = 0; i < 100; ++i) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      text += static_cast<char>(state >> 56);
    }
    ASSERT_EQ(round_trip(tokenizer, text), text);
  }
}

TEST_F(SentencePieces, AreLessThanHalfTheBytes) {
  SentencePieceTokenizer tokenizer(model(), HETMOE_SENTENCEPIECE);
  std::vector<std::int32_t> tokens;
  const std::string text = english_sample(100);
  tokenizer.encode(text, tokens);
  EXPECT_LT(tokens.size() * 2, text.size());
}

TEST_F(SentencePieces, AreTheSameInOneCallAndInMany) {
  SentencePieceTokenizer tokenizer(model(), HETMOE_SENTENCEPIECE);
  const std::vector<std::string_view> texts = {"The router", "", " sends its load", "\n"};
  std::vector<std::vector<std::int32_t>> together;
  tokenizer.encode(texts, together);
  ASSERT_EQ(together.size(), 4U);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::vector<std::int32_t> alone;
    tokenizer.encode(texts[i], alone);
    EXPECT_EQ(alone, together[i]);
  }
}

TEST_F(SentencePieces, EndOfDocumentHasNoText) {
  SentencePieceTokenizer tokenizer(model(), HETMOE_SENTENCEPIECE);
  EXPECT_EQ(tokenizer.decode(std::vector<std::int32_t>{2, 2}), "");
}

TEST_F(SentencePieces, TrainTheSameModelTwice) {
  const std::string input = *folder_ / "text";
  train_sentencepiece({.inputs = {input}, .vocab_size = 400, .out_prefix = *folder_ / "again"},
                      HETMOE_SENTENCEPIECE);
  EXPECT_EQ(contents_of(*folder_ / "again.model"), contents_of(model()));
}

TEST_F(SentencePieces, ReportWhatTrainingCannotReach) {
  const auto train = [](const std::string& input, std::int64_t vocab_size) {
    return message_of<StorageError>([&] {
      train_sentencepiece(
          {.inputs = {input}, .vocab_size = vocab_size, .out_prefix = *folder_ / "x"},
          HETMOE_SENTENCEPIECE);
    });
  };
  EXPECT_THAT(train(*folder_ / "text", 100), HasSubstr("cannot train a vocabulary of 100 pieces"));
  EXPECT_THAT(train(*folder_ / "text", 50000), HasSubstr("cannot train a vocabulary of 50000"));
  EXPECT_THAT(train(*folder_ / "none", 400), HasSubstr("none': No such file"));
  EXPECT_THAT(train(folder_->write("tabs", "\t\t\n"), 400), HasSubstr("hold no text"));
}

TEST_F(SentencePieces, ReportAFileThatIsNoModel) {
  const std::string path = folder_->write("bad.model", "not a model");
  const auto message =
      message_of<StorageError>([&] { SentencePieceTokenizer(path, HETMOE_SENTENCEPIECE); });
  EXPECT_THAT(message, HasSubstr("ended with code 3: "));
  EXPECT_EQ(message.find('\n'), std::string::npos);
}

TEST_F(SentencePieces, ReportAProgramThatCannotStartOrIsAnother) {
  EXPECT_THAT(message_of<StorageError>([] { SentencePieceTokenizer(model(), "/no/such/program"); }),
              HasSubstr("cannot start '/no/such/program': No such file"));
  EXPECT_THAT(message_of<StorageError>([] { SentencePieceTokenizer(model(), "/bin/false"); }),
              HasSubstr("'/bin/false' ended with code 1"));
}

TEST(ChildProcess, ReportsADeathInTheMiddleWithItsLastWords) {
  ChildProcess child("/bin/sh",
                     {"-c", "head -c 9 >/dev/null; echo first >&2; echo last >&2; kill -9 $$"});
  child.send_frame("hello");
  EXPECT_EQ(message_of<StorageError>([&] { child.receive_frame(); }),
            "'/bin/sh' was killed by signal 9: last");
  EXPECT_THAT(message_of<StorageError>([&] { child.send_frame("again"); }), HasSubstr("has ended"));
}

TEST(ChildProcess, RefusesAFrameOfAbsurdLength) {
  ChildProcess child("/bin/sh", {"-c", "printf '\\377\\377\\377\\377'"});
  EXPECT_THAT(message_of<StorageError>([&] { child.receive_frame(); }),
              HasSubstr("announces a message of 4294967295 bytes"));
}

TEST(MakeTokenizer, RefusesAnUnknownWord) {
  EXPECT_THAT(
      message_of<ConfigError>([] { make_tokenizer("byte"); }),
      HasSubstr("tokenizer is 'byte', must be 'bytes' or the path of a SentencePiece model, of a"));
}

TEST_F(SentencePieces, AreKnownByTheirContentAndInAFolder) {
  EXPECT_EQ(make_tokenizer(model(), HETMOE_SENTENCEPIECE)->name(), "sentencepiece");
  const TemporaryFolder alone;
  alone.write("tokenizer.model", contents_of(model()));
  const auto tokenizer = make_tokenizer(alone.path().string(), HETMOE_SENTENCEPIECE);
  EXPECT_EQ(tokenizer->name(), "sentencepiece");
  EXPECT_EQ(tokenizer->vocab_size(), 400);
}

}  // namespace
}  // namespace hetmoe
