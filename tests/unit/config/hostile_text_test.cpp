#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "core/config/yaml_reader.h"
#include "tests/unit/config/config_text.h"

namespace hetmoe::test {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(HostileText, SyntaxErrorsNameTheLine) {
  EXPECT_THAT(complaint("train:\n  steps: 3\n bad\n"), StartsWith("x.yaml:3: not YAML: "));
  EXPECT_THAT(complaint("train:\n\tsteps: 3\n"), StartsWith("x.yaml:2: not YAML: "));
  EXPECT_EQ(complaint("train: [1"),
            "x.yaml:1: not YAML: ends inside a quote, a list or a section left open");
}

// The parser alone would take the rest of the file for the text.
TEST(HostileText, AnOpenQuoteDoesNotSwallowTheRest) {
  EXPECT_EQ(complaint("data:\n  train: \"x\ntrain:\n  steps: 3\n"),
            "x.yaml:5: not YAML: ends inside a quote, a list or a section left open");
  EXPECT_EQ(complaint("", {"data.train=\"x"}),
            "--set data.train=\"x: data.train: not YAML: ends inside a quote, a list or a section "
            "left open");
}

TEST(HostileText, AliasesTagsAndSecondDocumentsAreRefused) {
  EXPECT_EQ(complaint("train: {steps: &a 3, seed: *a}"),
            "x.yaml:1: an alias (*name), allowed: values written out");
  EXPECT_EQ(complaint("train: {steps: !!int 3}"),
            "x.yaml:1: a tag (tag:yaml.org,2002:int), allowed: plain values");
  EXPECT_EQ(complaint("train: {steps: 3}\n---\ntrain: {steps: 4}\n"),
            "x.yaml:2: a second document, allowed: one");
}

TEST(HostileText, AnAliasBombCostsNothing) {
  std::ostringstream text;
  text << "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    text << "a" << i << ": &a" << i << " [*a" << i - 1;
    for (int j = 0; j < 9; ++j) text << ", *a" << i - 1;
    text << "]\n";
  }
  EXPECT_EQ(complaint(text.str()), "x.yaml:2: an alias (*name), allowed: values written out");
}

TEST(HostileText, SizeDepthAndCountAreBounded) {
  EXPECT_EQ(complaint(std::string((1 << 20) + 1, '#')),
            "x.yaml: larger than 1 MiB, allowed: a configuration of at most 1 MiB");
  EXPECT_EQ(complaint(std::string(1 << 20, '#')), "");
  EXPECT_THAT(complaint("a: " + std::string(100, '[') + std::string(100, ']')),
              HasSubstr("more than 16 levels"));
  std::string list = "a: [0";
  for (int i = 0; i < 20000; ++i) list += ", 0";
  EXPECT_EQ(complaint(list + "]"), "x.yaml:1: more than 10000 values");
}

TEST(HostileText, DeepBracketsEndSoon) {
  for (const char* piece : {"[", "{", "- ", "? ", "{? ", "a: {", "\"", "|\n", "&a "}) {
    std::string text;
    while (text.size() < 500'000) text += piece;
    EXPECT_NE(complaint(text), "") << piece;
  }
}

TEST(HostileText, BytesThatAreNotTextAreRefusedWithTheirLine) {
  EXPECT_EQ(complaint(std::string("train:\n  steps: \0 3\n", 19)),
            "x.yaml:2: byte 0x00, allowed: UTF-8 text");
  EXPECT_EQ(complaint("\xff\xfe"), "x.yaml:1: byte 0xff, allowed: UTF-8 text");
  EXPECT_EQ(complaint("# \xc0\xaf"), "x.yaml:1: byte 0xc0, allowed: UTF-8 text");
  EXPECT_EQ(complaint("# \xed\xa0\x80"), "x.yaml:1: byte 0xed, allowed: UTF-8 text");
  EXPECT_EQ(complaint("# \xe2\x82"), "x.yaml:1: byte 0xe2, allowed: UTF-8 text");
  EXPECT_EQ(complaint("# \xe2\x82\xac \xf0\x9f\x98\x80"), "");
}

TEST(HostileText, FilesThatAreNoneAreNamed) {
  EXPECT_THROW(
      {
        try {
          load_run_config("no/such.yaml", {});
        } catch (const ConfigError& error) {
          EXPECT_STREQ(error.what(), "no/such.yaml: cannot be read: No such file or directory");
          throw;
        }
      },
      ConfigError);
  EXPECT_THROW(load_run_config("tests", {}), ConfigError);
  EXPECT_EQ(complaint("- 3"), "x.yaml:1: [3], allowed: sections such as model: and data:");
}

/// Bytes that YAML gives a meaning, a few words of ours, and noise.
std::string garbage(std::mt19937& random) {
  static const std::vector<std::string> pieces = {
      "model", "train", ":", ": ", "\n",  "\n  ",  "\t", "- ",  "[", "]",    "{",  "}",    ",",
      "\"",    "'",     "#", "&a", "*a",  "!",     "!!", "|",   ">", "?",    "%",  "@",    "`",
      "---",   "...",   "~", "<<", "\\x", "steps", "3",  "1e9", "é", "\xff", "\r", "\\u00"};
  std::string text;
  const auto length = random() % 60;
  for (std::uint32_t i = 0; i < length; ++i) {
    if (random() % 20 == 0) {
      text += static_cast<char>(random() % 256);
    } else {
      text += pieces[random() % pieces.size()];
    }
  }
  return text;
}

TEST(HostileText, GarbageIsReadOrRefusedButNeverCrashes) {
  std::mt19937 random(20240820);
  int refused = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string text = garbage(random);
    try {
      parse_yaml(text, "x.yaml");
    } catch (const ConfigError& error) {
      ++refused;
      ASSERT_THAT(error.what(), StartsWith("x.yaml:")) << text;
      ASSERT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    }
  }
  EXPECT_GT(refused, 1000);
}

// A good file with a few bytes changed: nearer to what a slip of the hand gives.
TEST(HostileText, DamagedConfigurationsAreReadOrRefused) {
  RunConfig good;
  good.data.train = "random";
  const std::string yaml = resolved_yaml(good);
  std::mt19937 random(7);
  for (int i = 0; i < 3000; ++i) {
    std::string text = yaml;
    for (int change = 0; change < 3; ++change) {
      text[random() % text.size()] = static_cast<char>(random() % 128);
    }
    complaint(text);
    complaint("", {text.substr(0, random() % text.size())});
  }
}

}  // namespace
}  // namespace hetmoe::test
