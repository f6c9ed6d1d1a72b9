#include "core/data/document_reader.h"

#include <gmock/gmock.h>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<Document> documents_of(const std::string& contents, const std::string& separator,
                                   std::int64_t max_bytes = 1 << 20) {
  const TemporaryFolder folder;
  DocumentReader reader(folder.write("text", contents), DocumentSeparator::parse(separator),
                        max_bytes);
  std::vector<Document> documents;
  Document document;
  while (reader.next(document)) documents.push_back(document);
  EXPECT_EQ(reader.read_bytes(), static_cast<std::int64_t>(contents.size()));
  return documents;
}

std::vector<std::string> texts_of(const std::string& contents, const std::string& separator,
                                  std::int64_t max_bytes = 1 << 20) {
  std::vector<std::string> texts;
  for (const Document& document : documents_of(contents, separator, max_bytes)) {
    texts.push_back(document.text);
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
    for (const Document& piece : documents_of(contents, "file", limit)) {
      EXPECT_LE(static_cast<std::int64_t>(piece.text.size()), limit);
      EXPECT_EQ(piece.continues, !first);
      EXPECT_EQ(piece.begin_bytes, static_cast<std::int64_t>(joined.size()));
      const bool whole_characters = (static_cast<unsigned char>(piece.text[0]) & 0xC0) != 0x80;
      EXPECT_TRUE(whole_characters);
      joined += piece.text;
      first = false;
    }
    EXPECT_EQ(joined, contents) << limit;
  }
}

TEST(DocumentReader, NeverTakesTheRestOfACutLineForASeparator) {
  const auto documents = documents_of("aaaaa%%\n%%\nb\n", "%%", 5);
  ASSERT_EQ(documents.size(), 3U);
  EXPECT_EQ(documents[0].text, "aaaaa");
  EXPECT_EQ(documents[1].text, "%%");
  EXPECT_TRUE(documents[1].continues);
  EXPECT_EQ(documents[2].text, "b");
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

TEST(DocumentReader, NamesWhatItCannotRead) {
  EXPECT_THAT(
      message_of<StorageError>([] { DocumentReader("no-such-file", DocumentSeparator{}, 100); }),
      HasSubstr("cannot open 'no-such-file': No such file"));
  EXPECT_THROW(DocumentSeparator::parse(""), ConfigError);
}

}  // namespace
}  // namespace hetmoe
