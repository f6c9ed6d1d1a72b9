#include "core/data/document_reader.h"

#include <gmock/gmock.h>

#include <array>
#include <random>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<Record> documents_of(const std::string& contents, const std::string& separator,
                                 std::int64_t max_bytes = 1 << 20) {
  const TemporaryFolder folder;
  DocumentReader reader(open_byte_source(folder.write("text", contents)),
                        DocumentSeparator::parse(separator), max_bytes);
  std::vector<Record> documents;
  Record document;
  while (reader.next(document)) documents.push_back(document);
  EXPECT_EQ(reader.position().bytes, static_cast<std::int64_t>(contents.size()));
  EXPECT_EQ(reader.file_bytes(), static_cast<std::int64_t>(contents.size()));
  return documents;
}

std::vector<std::string> texts_of(const std::string& contents, const std::string& separator,
                                  std::int64_t max_bytes = 1 << 20) {
  std::vector<std::string> texts;
  for (const Record& document : documents_of(contents, separator, max_bytes)) {
    texts.push_back(document.bytes);
  }
  return texts;
}

TEST(DocumentReader, KeepsAFileWhole) {
  EXPECT_THAT(texts_of("\n a\n\nb \n\n", "file"), ElementsAre("\n a\n\nb \n\n"));
  EXPECT_THAT(texts_of("", "file"), IsEmpty());
}

TEST(DocumentReader, PartsAtBlankLines) {
  EXPECT_THAT(texts_of("\n\na\nb\n \t\n\r\nc", "blank-line"), ElementsAre("a\nb", "c"));
  EXPECT_THAT(texts_of("\n \n", "blank-line"), IsEmpty());
}

TEST(DocumentReader, PartsAtUnindentedLinesAfterBlankOnes) {
  const std::string dictionary =
      "\n\nAbacus n.\n   1. A table.\nsecond line\n\n   2. Another.\n\nAbaft adv.\n   Behind.\n";
  EXPECT_THAT(texts_of(dictionary, "unindented-line"),
              ElementsAre("Abacus n.\n   1. A table.\nsecond line\n\n   2. Another.",
                          "Abaft adv.\n   Behind."));
}

TEST(DocumentReader, PartsAtAGivenLine) {
  EXPECT_THAT(texts_of("a\n%%\n%% b\n%%\r\n%%\nc\n%%", "%%"), ElementsAre("a", "%% b", "c"));
}

TEST(DocumentReader, TellsWhereEachDocumentStands) {
  const auto documents = documents_of("\n\nab\n\n\ncd\n", "blank-line");
  ASSERT_EQ(documents.size(), 2U);
  EXPECT_EQ(documents[0].begin_bytes, 2);
  EXPECT_EQ(documents[1].begin_bytes, 7);
}

TEST(DocumentReader, CutsLongDocumentsIntoPiecesThatLoseNothing) {
  std::string contents;
  for (int i = 0; i < 400; ++i) contents += std::string(i % 23, 'x') + "\xE2\x82\xAC\n";
  for (const std::int64_t limit : {4, 5, 7, 16, 31, 1000}) {
    std::string joined;
    bool first = true;
    for (const Record& piece : documents_of(contents, "file", limit)) {
      EXPECT_LE(static_cast<std::int64_t>(piece.bytes.size()), limit);
      EXPECT_EQ(piece.continues, !first);
      EXPECT_EQ(piece.begin_bytes, static_cast<std::int64_t>(joined.size()));
      const bool whole_characters = (static_cast<unsigned char>(piece.bytes[0]) & 0xC0) != 0x80;
      EXPECT_TRUE(whole_characters);
      joined += piece.bytes;
      first = false;
    }
    EXPECT_EQ(joined, contents) << limit;
  }
}

TEST(DocumentReader, NeverTakesTheRestOfACutLineForASeparator) {
  const auto documents = documents_of("aaaaa%%\n%%\nb\n", "%%", 5);
  ASSERT_EQ(documents.size(), 3U);
  EXPECT_EQ(documents[0].bytes, "aaaaa");
  EXPECT_EQ(documents[1].bytes, "%%");
  EXPECT_TRUE(documents[1].continues);
  EXPECT_EQ(documents[2].bytes, "b");
  EXPECT_FALSE(documents[2].continues);
}

TEST(DocumentReader, ReadsBeyondOneBlock) {
  std::string contents;
  for (int i = 0; i < 300000; ++i) contents += "line " + std::to_string(i) + "\n\n";
  const auto texts = texts_of(contents, "blank-line");
  ASSERT_EQ(texts.size(), 300000U);
  for (int i = 0; i < 300000; ++i) {
    ASSERT_EQ(texts[static_cast<std::size_t>(i)], "line " + std::to_string(i));
  }
}

// Texts that make every flag of a position matter: long lines, blank ones, documents that are cut.
TEST(DocumentReader, GoesOnFromAnyPositionAsIfItHadNeverStopped) {
  std::mt19937 random(7);
  const std::array<std::string, 9> parts = {
      "a", "bc def", "\n", "\n", "\n\n", "  ", "%%\n", "\r\n", "\xE2\x82\xAC\xF0\x9F\x98\x80"};
  const TemporaryFolder folder;
  for (int round = 0; round < 60; ++round) {
    std::string contents;
    for (int i = 0; i < 120; ++i) contents += parts[random() % parts.size()];
    const std::string path = folder.write("text", contents);
    for (const char* separator : {"file", "blank-line", "unindented-line", "%%"}) {
      const auto open_at = [&](const ReadPosition& begin) {
        return DocumentReader(open_byte_source(path), DocumentSeparator::parse(separator), 9,
                              begin);
      };
      DocumentReader whole = open_at({});
      std::vector<Record> records;
      std::vector<ReadPosition> positions = {whole.position()};
      for (Record record; whole.next(record);) {
        records.push_back(record);
        positions.push_back(whole.position());
      }
      for (std::size_t i = 0; i < positions.size(); ++i) {
        DocumentReader rest = open_at(positions[i]);
        Record record;
        for (std::size_t j = i; j < records.size(); ++j) {
          ASSERT_TRUE(rest.next(record)) << separator << " from record " << i;
          ASSERT_EQ(record.bytes, records[j].bytes) << separator << " from record " << i;
          ASSERT_EQ(record.begin_bytes, records[j].begin_bytes);
          ASSERT_EQ(record.continues, records[j].continues);
        }
        ASSERT_FALSE(rest.next(record));
      }
    }
  }
}

TEST(DocumentReader, RefusesASeparatorWithoutText) {
  EXPECT_THROW(DocumentSeparator::parse(""), ConfigError);
}

}  // namespace
}  // namespace hetmoe
