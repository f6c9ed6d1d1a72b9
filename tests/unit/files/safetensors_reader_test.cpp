#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "core/files/safetensors.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kTwo = R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},)"
                         R"("b":{"dtype":"U8","shape":[2,2],"data_offsets":[5,9]}})";

/// Bytes [begin, begin + count) of a tensor.
std::string read(const SafetensorsReader& reader, const char* name, std::int64_t begin,
                 std::size_t count) {
  std::string bytes(count, '?');
  reader.read(*reader.find(name), begin, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

/// Why a file of these bytes cannot be opened; "no error" when it can.
std::string refusal(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = folder.write("x.safetensors", bytes);
  const auto message = message_of<StorageError>([&] { SafetensorsReader{path}; });
  if (message != "no error") {
    EXPECT_THAT(message, HasSubstr(path));
  }
  return message;
}

TEST(SafetensorsReader, ReadsAnyPartOfAnyTensor) {
  const TemporaryFolder folder;
  const SafetensorsReader reader(folder.write("x", safetensors_bytes(kTwo, "abcdeFGHI")));
  EXPECT_EQ(reader.path(), folder / "x");
  EXPECT_EQ(read(reader, "a", 0, 5), "abcde");
  EXPECT_EQ(read(reader, "a", 1, 3), "bcd");
  EXPECT_EQ(read(reader, "b", 0, 4), "FGHI");
  EXPECT_EQ(read(reader, "b", 3, 1), "I");
  EXPECT_EQ(read(reader, "b", 4, 0), "");
}

TEST(SafetensorsReader, FindsTensorsByTheirWholeName) {
  const TemporaryFolder folder;
  const SafetensorsReader reader(folder.write("x", safetensors_bytes(kTwo, "abcdeFGHI")));
  ASSERT_NE(reader.find("b"), nullptr);
  EXPECT_EQ(reader.find("b")->begin, 5);
  EXPECT_EQ(reader.find("c"), nullptr);
  EXPECT_EQ(reader.find(""), nullptr);
  EXPECT_EQ(reader.find("__metadata__"), nullptr);
}

TEST(SafetensorsReader, ReadsAfterItWasMovedAndItsNameIsGone) {
  const TemporaryFolder folder;
  SafetensorsReader first(folder.write("x", safetensors_bytes(kTwo, "abcdeFGHI")));
  const SafetensorsReader second(std::move(first));
  std::filesystem::remove(folder / "x");
  EXPECT_EQ(read(second, "b", 0, 4), "FGHI");
}

TEST(SafetensorsReader, ServesSeveralThreadsAtOnce) {
  const TemporaryFolder folder;
  const SafetensorsReader reader(folder.write("x", safetensors_bytes(kTwo, "abcdeFGHI")));
  std::vector<std::string> found(4);
  std::vector<std::thread> threads;
  for (std::string& bytes : found) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) bytes = read(reader, i % 2 == 0 ? "a" : "b", 1, 3);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(found, testing::Each("GHI"));
}

TEST(SafetensorsReader, RefusesToReadBeyondATensor) {
  const TemporaryFolder folder;
  const SafetensorsReader reader(folder.write("x", safetensors_bytes(kTwo, "abcdeFGHI")));
  EXPECT_THROW(read(reader, "a", 1, 5), InternalError);
  EXPECT_THROW(read(reader, "a", -1, 2), InternalError);
  EXPECT_THROW(read(reader, "a", INT64_MAX, 2), InternalError);
}

TEST(SafetensorsReader, RefusesAFileWithoutALength) {
  EXPECT_THAT(refusal(""), HasSubstr("0 bytes, a safetensors file has at least 8"));
  EXPECT_THAT(refusal("1234567"), HasSubstr("7 bytes, a safetensors file has at least 8"));
  EXPECT_THAT(refusal(safetensors_bytes("", "")), HasSubstr("does not start with '{'"));
}

TEST(SafetensorsReader, RefusesAHeaderThatIsTooLong) {
  EXPECT_THAT(refusal(safetensors_bytes("{}", "", 100000001)),
              HasSubstr("header of 100000001 bytes, at most 100000000 are allowed"));
  EXPECT_THAT(refusal(safetensors_bytes("{}", "", UINT64_MAX)),
              HasSubstr("header of 18446744073709551615 bytes"));
}

TEST(SafetensorsReader, RefusesAHeaderThatEndsBehindTheFile) {
  EXPECT_THAT(refusal(safetensors_bytes("{}", "", 3)),
              HasSubstr("its header ends at byte 11, the file at 10"));
  EXPECT_EQ(refusal(safetensors_bytes("{}", "", 2)), "no error");
}

TEST(SafetensorsReader, RefusesAFileThatWasCutOrAppendedTo) {
  EXPECT_THAT(refusal(safetensors_bytes(kTwo, "abcdeFGH")), HasSubstr("the file holds 8 bytes"));
  EXPECT_THAT(refusal(safetensors_bytes(kTwo, "abcdeFGHI\n")), HasSubstr("the file holds 10"));
  EXPECT_EQ(refusal(safetensors_bytes(kTwo, "abcdeFGHI")), "no error");
}

TEST(SafetensorsReader, NamesAFileThatShrinksUnderIt) {
  const TemporaryFolder folder;
  const std::string bytes = safetensors_bytes(kTwo, "abcdeFGHI");
  const std::string path = folder.write("x", bytes);
  const SafetensorsReader reader(path);
  std::filesystem::resize_file(path, bytes.size() - 2);
  EXPECT_EQ(read(reader, "b", 0, 2), "FG");
  const auto message = message_of<StorageError>([&] { read(reader, "b", 1, 2); });
  EXPECT_THAT(message, AllOf(HasSubstr(path), HasSubstr("became shorter, it ends at byte " +
                                                        std::to_string(bytes.size() - 2))));
}

TEST(SafetensorsReader, NamesWhatIsNotAFile) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<StorageError>([&] { SafetensorsReader{folder / "no"}; }),
              AllOf(HasSubstr(folder / "no"), HasSubstr("No such file or directory")));
  EXPECT_THAT(message_of<StorageError>([&] { SafetensorsReader{folder.path()}; }),
              HasSubstr("not a regular file"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(message_of<StorageError>([&] { SafetensorsReader{folder / "pipe"}; }),
              HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace hetmoe
