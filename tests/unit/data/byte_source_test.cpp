#include "core/data/byte_source.h"

#include <gmock/gmock.h>

#include <array>
#include <random>

#include "core/base/error.h"
#include "tests/support/compressed_bytes.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using test::gzip_bytes;
using test::zstd_bytes;
using testing::HasSubstr;
using testing::MatchesRegex;

/// Through reads of any size from 1 byte on.
std::string read_all(ByteSource& source, std::size_t read_bytes) {
  std::string text;
  std::string block(read_bytes, '\0');
  for (std::size_t got = 1; got > 0;) {
    got = source.read(block);
    text.append(block, 0, got);
  }
  return text;
}

/// About 1 MB that compresses to some 500 KB: more than one block of every kind.
std::string noisy_text() {
  std::mt19937 random(3);
  std::string text;
  for (int i = 0; i < 90000; ++i) text += std::to_string(random()) + "\n";
  return text;
}

class ByteSourceTest : public testing::Test {
 protected:
  std::string read(const std::string& contents, std::size_t read_bytes = 100000) {
    return read_all(*open_byte_source(folder_.write("file", contents)), read_bytes);
  }
  std::string refusal(const std::string& contents) {
    return message_of<StorageError>([&] { read(contents); });
  }

  TemporaryFolder folder_;
};

TEST_F(ByteSourceTest, IsKnownByItsFirstBytesAndNotByItsName) {
  EXPECT_EQ(compression_of(folder_.write("a.gz", "text")), Compression::kNone);
  EXPECT_EQ(compression_of(folder_.write("a.txt", gzip_bytes("text"))), Compression::kGzip);
  EXPECT_EQ(compression_of(folder_.write("a", zstd_bytes("text"))), Compression::kZstd);
  EXPECT_EQ(compression_of(folder_.write("empty", "")), Compression::kNone);
  EXPECT_EQ(compression_of(folder_.write("short", "\x28\xB5\x2F")), Compression::kNone);
}

TEST_F(ByteSourceTest, GivesBackWhatWasCompressed) {
  const std::string text = noisy_text();
  for (const std::size_t read_bytes : {std::size_t{7}, std::size_t{65536}, std::size_t{1} << 22}) {
    EXPECT_EQ(read(text, read_bytes), text);
    EXPECT_EQ(read(gzip_bytes(text), read_bytes), text);
    EXPECT_EQ(read(zstd_bytes(text), read_bytes), text);
  }
  for (const std::string small : {"", "a"}) {
    EXPECT_EQ(read(gzip_bytes(small), 1), small);
    EXPECT_EQ(read(zstd_bytes(small), 1), small);
  }
}

TEST_F(ByteSourceTest, TakesSeveralMembersAndFramesForOneText) {
  const std::string text = noisy_text();
  const std::string gzip = gzip_bytes("one ") + gzip_bytes("") + gzip_bytes(text) + gzip_bytes("!");
  const std::string zstd = zstd_bytes("one ") + zstd_bytes("") + zstd_bytes(text) + zstd_bytes("!");
  for (const std::size_t read_bytes : {std::size_t{1000}, std::size_t{1} << 21}) {
    EXPECT_EQ(read(gzip, read_bytes), "one " + text + "!");
    EXPECT_EQ(read(zstd, read_bytes), "one " + text + "!");
  }
}

TEST_F(ByteSourceTest, PassesOverZstdFramesThatAreNone) {
  const std::string skippable = std::string("\x53\x2A\x4D\x18\x03\0\0\0", 8) + "abc";
  EXPECT_EQ(read(skippable + zstd_bytes("text")), "text");
  EXPECT_EQ(read(zstd_bytes("text") + skippable), "text");
}

TEST_F(ByteSourceTest, RefusesWhatIsCutShortAtAnyByte) {
  const std::string gzip = gzip_bytes("some text") + gzip_bytes("more");
  const std::size_t first = gzip_bytes("some text").size();
  const std::string zstd = zstd_bytes("some text");
  for (std::size_t bytes = 2; bytes < gzip.size(); ++bytes) {
    if (bytes == first) continue;  // a whole member
    EXPECT_EQ(refusal(gzip.substr(0, bytes)), "'" + (folder_ / "file") + "' at byte " +
                                                  std::to_string(bytes) +
                                                  ": the gzip stream is cut short");
  }
  for (std::size_t bytes = 4; bytes < zstd.size(); ++bytes) {
    EXPECT_EQ(refusal(zstd.substr(0, bytes)), "'" + (folder_ / "file") + "' at byte " +
                                                  std::to_string(bytes) +
                                                  ": the zstd stream is cut short");
  }
}

TEST_F(ByteSourceTest, NamesTheByteWhereLongDamageShows) {
  const std::string text = noisy_text();
  for (const std::string& whole : {gzip_bytes(text), zstd_bytes(text)}) {
    const std::string message = refusal(whole.substr(0, whole.size() / 2));
    EXPECT_THAT(message, HasSubstr("at byte " + std::to_string(whole.size() / 2) + ": the "));
    std::string damaged = whole;
    damaged[whole.size() - 3] ^= 0x10;  // within the checksum or the size behind it
    EXPECT_THAT(refusal(damaged), MatchesRegex(".* at byte [0-9]+: not a whole .*"));
  }
}

TEST_F(ByteSourceTest, RefusesOtherBytesBehindTheLastMember) {
  EXPECT_THAT(refusal(gzip_bytes("text") + "rest"), HasSubstr("not a whole gzip stream"));
  EXPECT_THAT(refusal(zstd_bytes("text") + "rest"), HasSubstr("not a whole zstd stream"));
}

TEST_F(ByteSourceTest, RefusesAZstdWindowBeyondTheBound) {
  EXPECT_EQ(read(test::zstd_bytes_with_window("text", 27)), "text");
  EXPECT_THAT(refusal(test::zstd_bytes_with_window("text", 28)), HasSubstr("too much memory"));
}

TEST_F(ByteSourceTest, PassesOverBytesAsIfTheyHadBeenRead) {
  const std::string text = noisy_text();
  for (const std::string& contents : {text, gzip_bytes(text), zstd_bytes(text)}) {
    const std::string path = folder_.write("file", contents);
    for (const std::size_t count :
         {std::size_t{0}, std::size_t{1}, std::size_t{600001}, text.size()}) {
      const auto source = open_byte_source(path);
      source->skip(static_cast<std::int64_t>(count));
      EXPECT_TRUE(read_all(*source, 50000) == text.substr(count)) << count;
    }
    const auto source = open_byte_source(path);
    EXPECT_THROW(source->skip(static_cast<std::int64_t>(text.size()) + 1), StorageError);
  }
}

TEST_F(ByteSourceTest, CountsTheBytesOfTheFile) {
  const std::string text = noisy_text();
  for (const std::string& contents : {text, gzip_bytes(text), zstd_bytes(text)}) {
    const auto source = open_byte_source(folder_.write("file", contents));
    EXPECT_EQ(source->file_bytes(), 0);
    read_all(*source, 100000);
    EXPECT_EQ(source->file_bytes(), static_cast<std::int64_t>(contents.size()));
  }
}

TEST_F(ByteSourceTest, NamesAFileThatIsNotThere) {
  EXPECT_THAT(message_of<StorageError>([] { open_byte_source("no-such-file"); }),
              HasSubstr("cannot open 'no-such-file': No such file"));
}

}  // namespace
}  // namespace hetmoe
