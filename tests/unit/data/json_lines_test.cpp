#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <random>

#include "core/base/error.h"
#include "core/data/corpus_reader.h"
#include "core/data/json_lines_reader.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

std::string fault_of(const std::string& line, const std::string& field = "text") {
  const JsonLine parsed = parse_json_line(line, field);
  EXPECT_TRUE(parsed.fault.empty() || parsed.fault.find('\n') == std::string::npos);
  return parsed.fault;
}

TEST(JsonLine, GivesTheTextUnderItsField) {
  EXPECT_EQ(parse_json_line(R"({"text": "a"})", "text").text, "a");
  EXPECT_EQ(
      parse_json_line(R"( {"meta": {"text": "no", "a": [1, {}]}, "text": "yes"} )", "text").text,
      "yes");
  EXPECT_EQ(parse_json_line(R"({"text": 1, "body": "b"})", "body").text, "b");
  EXPECT_EQ(parse_json_line(R"({"text": "\u00e9\n\t\"\u0000\ud83d\ude00"})", "text").text,
            std::string("\xC3\xA9\n\t\"\0\xF0\x9F\x98\x80", 10));
}

// The tree of another reader of the same library's is the reference for nesting; its own writer
// makes the lines, with every escape that JSON has.
TEST(JsonLine, AgreesWithTheTreeOfAnyDocument) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 40; ++i) {
      const auto point = static_cast<char32_t>(random() % (round % 2 == 0 ? 128 : 0xD800));
      if (point < 0x80) {
        text += static_cast<char>(point);
      } else if (point < 0x800) {
        text += {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 63))};
      } else {
        text += {static_cast<char>(0xE0 | point >> 12), static_cast<char>(0x80 | (point >> 6 & 63)),
                 static_cast<char>(0x80 | (point & 63))};
      }
    }
    const nlohmann::json line = {
        {"before", {text, 1.5, nullptr}}, {"text", text}, {"z", {{"text", 1}}}};
    const JsonLine parsed = parse_json_line(line.dump(-1, ' ', round % 3 == 0), "text");
    ASSERT_EQ(parsed.fault, "");
    ASSERT_EQ(parsed.text, text);
  }
}

TEST(JsonLine, SaysWhatIsWrong) {
  EXPECT_EQ(fault_of(R"({"body": "a"})"), "has no field 'text'");
  EXPECT_EQ(fault_of("{}"), "has no field 'text'");
  EXPECT_EQ(fault_of(R"({"a": {"text": "b"}})"), "has no field 'text'");
  EXPECT_EQ(fault_of(R"({"text": 5})"), "field 'text' is a number, must be a string");
  EXPECT_EQ(fault_of(R"({"text": null})"), "field 'text' is null, must be a string");
  EXPECT_EQ(fault_of(R"({"text": ["a"]})"), "field 'text' is an array, must be a string");
  EXPECT_EQ(fault_of(R"({"text": {"text": "a"}})"), "field 'text' is an object, must be a string");
  EXPECT_EQ(fault_of(R"(["text"])"), "is an array, must be an object");
  EXPECT_EQ(fault_of(R"("text")"), "is a string, must be an object");
  EXPECT_EQ(fault_of(R"({"text": "a", "text": "b"})"), "has the field 'text' twice");
  EXPECT_EQ(fault_of(R"({"text": "a)"),
            "is not JSON at byte 12: invalid string: missing closing quote");
  EXPECT_THAT(fault_of(R"({"text": "a"} x)"), StartsWith("is not JSON at byte 15: "));
  EXPECT_THAT(fault_of(R"({"text": "a"}{"text": "b"})"), StartsWith("is not JSON at byte 14: "));
  EXPECT_THAT(fault_of("{'text': 'a'}"), StartsWith("is not JSON at byte 2: "));
  EXPECT_THAT(fault_of(""), StartsWith("is not JSON at byte 1: "));
  EXPECT_THAT(fault_of(std::string("{\"text\": \"a\"}\0 x", 16)), HasSubstr("byte 14: a NUL byte"));
}

TEST(JsonLine, RefusesTextThatIsNoUnicode) {
  for (const char* bad :
       {R"({"text": "\ud800"})", R"({"text": "\ud800x"})", R"({"text": "\udc00"})",
        R"({"text": "\ud800\ud800"})", R"({"other": "\ud800", "text": ""})"}) {
    EXPECT_THAT(fault_of(bad), HasSubstr("surrogate")) << bad;
  }
  for (const char* bad : {"{\"text\": \"\xE9\"}", "{\"text\": \"\xC0\x80\"}",
                          "{\"text\": \"\xED\xA0\x80\"}", "{\"text\": \"\xF4\x90\x80\x80\"}"}) {
    EXPECT_THAT(fault_of(bad), HasSubstr("ill-formed UTF-8 byte")) << bad;
  }
  EXPECT_THAT(fault_of("{\"text\": \"a\tb\"}"), HasSubstr("control character"));
  EXPECT_THAT(fault_of(R"({"text": "\x41"})"), HasSubstr("forbidden character after backslash"));
}

TEST(JsonLine, SaysLittleOfALongLine) {
  EXPECT_THAT(fault_of("{\"text\": \"" + std::string(100000, 'a')), SizeIs(testing::Lt(300)));
  EXPECT_THAT(fault_of("{\"a\": 1e9" + std::string(100000, '9') + "}"), SizeIs(testing::Lt(300)));
  EXPECT_THAT(fault_of(std::string(100000, '{')), SizeIs(testing::Lt(300)));
  EXPECT_THAT(fault_of("{\"text\":" + std::string(1000000, '[')), HasSubstr("is an array"));
  EXPECT_THAT(fault_of("{\"a\":" + std::string(1000000, '[')), StartsWith("is not JSON"));
}

class JsonLines : public testing::Test {
 protected:
  /// The texts of the pieces that a file gives.
  std::vector<Piece> pieces(const std::string& contents, const CorpusOptions& options,
                            std::int64_t* skipped = nullptr) {
    const auto inputs = list_inputs({folder_.write("lines", contents)}, {.format = "json-lines"});
    CorpusReader reader(inputs, options);
    std::vector<Piece> out;
    for (Record record; reader.next(record);) {
      const bool valid = append_pieces(std::move(record), inputs[0], options, out);
      if (!valid && skipped != nullptr) ++*skipped;
    }
    return out;
  }
  std::vector<Piece> pieces(const std::string& contents) {
    const CorpusOptions options;
    return pieces(contents, options);
  }
  std::string refusal(const std::string& contents) {
    return message_of<StorageError>([&] { pieces(contents); });
  }

  TemporaryFolder folder_;
};

TEST_F(JsonLines, AreADocumentEach) {
  std::vector<std::string> texts;
  for (const Piece& piece : pieces("{\"text\": \"a\"}\n\n \r\n{\"text\": \"\"}\n{\"text\": "
                                   "\"b\\nc\"}\r\n{\"text\":\"d\"}")) {
    EXPECT_FALSE(piece.continues);
    texts.push_back(piece.text);
  }
  EXPECT_THAT(texts, ElementsAre("a", "b\nc", "d"));
}

TEST_F(JsonLines, AreNamedWithTheirNumberWhenTheyAreBad) {
  EXPECT_EQ(refusal("{\"text\": \"a\"}\n\n{\"text\": 5}\n"),
            "'" + (folder_ / "lines") + "' line 3: field 'text' is a number, must be a string");
  EXPECT_THAT(refusal("{\"text\": \"a\"}\n{\"text\": \"\xE9\"}\n"),
              HasSubstr("line 2: is not JSON at byte 12"));
}

TEST_F(JsonLines, AreCountedInsteadWhenTheyMayBeSkipped) {
  CorpusOptions options;
  options.skip_invalid = true;
  std::int64_t skipped = 0;
  const auto texts = pieces(
      "{\"text\": \"a\"}\n{\"text\": 5}\nnothing\n{\"text\": \"b\"}\n{\"text\"", options, &skipped);
  EXPECT_EQ(skipped, 3);
  ASSERT_THAT(texts, SizeIs(2));
  EXPECT_EQ(texts[1].text, "b");
}

TEST_F(JsonLines, AreRefusedWhenTooLong) {
  const std::string path = folder_.write("lines", "{}\n" + std::string(101, ' ') + "\n");
  JsonLinesReader reader(path, open_byte_source(path), {}, 100);
  Record record;
  EXPECT_TRUE(reader.next(record));
  EXPECT_EQ(message_of<StorageError>([&] {
              while (reader.next(record)) {
              }
            }),
            "'" + path + "' line 2: longer than 100 bytes, which is the most of JSON lines");
  const std::string good =
      folder_.write("good", std::string(99, ' ') + "\n" + std::string(100, ' '));
  JsonLinesReader fits(good, open_byte_source(good), {}, 100);
  EXPECT_FALSE(fits.next(record));
}

TEST_F(JsonLines, AreCutAsTheSameTextWouldBe) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (int i = 0; i < 30; ++i) {
      text += std::string(random() % 12, 'a') + (random() % 2 == 0 ? "\n" : "\xE2\x82\xAC");
    }
    const auto limit = static_cast<std::int64_t>(4 + random() % 30);
    CorpusOptions options;
    options.max_document_bytes = limit;
    const auto cut = pieces(nlohmann::json{{"text", text}}.dump(), options);
    DocumentReader reader(open_byte_source(folder_.write("text", text)), {}, limit);
    std::size_t i = 0;
    for (Record record; reader.next(record); ++i) {
      ASSERT_LT(i, cut.size());
      ASSERT_EQ(cut[i].text, record.bytes) << "limit " << limit;
      ASSERT_EQ(cut[i].continues, record.continues);
    }
    ASSERT_EQ(i, cut.size());
  }
}

TEST_F(JsonLines, GoOnFromAnyPosition) {
  const std::string path = folder_.write("lines", "\n{\"a\": 1}\n\n  \n{}\n{\"b\": 2}\r\n{\"c\"}");
  const auto open_at = [&](const ReadPosition& begin) {
    return JsonLinesReader(path, open_byte_source(path), begin);
  };
  JsonLinesReader whole = open_at({});
  for (Record record; whole.next(record);) {
    JsonLinesReader rest = open_at(whole.position());
    Record expected;
    JsonLinesReader reference = open_at({});
    while (reference.next(expected) && expected.line <= record.line) {
    }
    Record next;
    const bool more = rest.next(next);
    ASSERT_EQ(more, expected.line > record.line);
    if (!more) continue;
    EXPECT_EQ(next.line, expected.line);
    EXPECT_EQ(next.bytes, expected.bytes);
    EXPECT_EQ(next.begin_bytes, expected.begin_bytes);
  }
}

}  // namespace
}  // namespace hetmoe
