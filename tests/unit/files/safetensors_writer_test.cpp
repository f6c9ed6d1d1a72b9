#include <gmock/gmock.h>

#include <string>

#include "core/files/digest.h"
#include "core/files/safetensors.h"
#include "tests/support/safetensors_bytes.h"
#include "tests/support/small_disk.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const TensorInfo kFloats = {.name = "w#0:3", .type = TensorType::kF32, .shape = {3, 1}};
const TensorInfo kBytes = {.name = "b", .type = TensorType::kU8, .shape = {5}};

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

/// Why a file of these tensors cannot be written; nothing is left then.
std::string refusal(const std::vector<TensorInfo>& tensors,
                    const std::map<std::string, std::string>& metadata = {}) {
  const TemporaryFolder folder;
  const auto message =
      message_of<StorageError>([&] { SafetensorsWriter(folder / "x", tensors, metadata); });
  EXPECT_THAT(message, HasSubstr(folder / "x"));
  EXPECT_THAT(folder.names(), IsEmpty());
  return message;
}

// Put together by hand from the format's description.
TEST(SafetensorsWriter, WritesTheFormat) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "x", {kFloats, kBytes});
  writer.write(bytes_of("ABCDEFGHIJ"));
  writer.write(bytes_of("KLabcde"));
  writer.finish();
  std::string header = R"({"__metadata__":{"format":"pt"},)"
                       R"("w#0:3":{"dtype":"F32","shape":[3,1],"data_offsets":[0,12]},)"
                       R"("b":{"dtype":"U8","shape":[5],"data_offsets":[12,17]}})";
  while (header.size() % 8 != 0) header += ' ';
  EXPECT_EQ(contents_of(folder / "x"), safetensors_bytes(header, "ABCDEFGHIJKLabcde"));
}

TEST(SafetensorsWriter, PadsTheHeaderSoThatDataAreAligned) {
  for (std::size_t length = 1; length <= 16; ++length) {
    const TemporaryFolder folder;
    SafetensorsWriter writer(folder / "x", {{.name = std::string(length, 'n'), .shape = {0}}});
    EXPECT_EQ(writer.finish().bytes % 8, 0) << length;
  }
}

TEST(SafetensorsWriter, TellsSizeAndDigestOfTheWholeFile) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "x", {kBytes});
  for (const char* letter : {"a", "b", "c", "d", "e"}) writer.write(bytes_of(letter));
  const WrittenFile written = writer.finish();
  const std::string contents = contents_of(folder / "x");
  EXPECT_EQ(written.bytes, static_cast<std::int64_t>(contents.size()));
  EXPECT_EQ(written.digest, digest_of(bytes_of(contents)));
}

TEST(SafetensorsWriter, LeavesNothingUnlessFinished) {
  const TemporaryFolder folder;
  {
    SafetensorsWriter writer(folder / "x", {kBytes});
    writer.write(bytes_of("abcde"));
    EXPECT_THAT(folder.names(), ElementsAre("x"));
  }
  EXPECT_THAT(folder.names(), IsEmpty());
}

TEST(SafetensorsWriter, RefusesToFinishBeforeAllDataAreThere) {
  const TemporaryFolder folder;
  {
    SafetensorsWriter writer(folder / "x", {kBytes});
    writer.write(bytes_of("abcd"));
    EXPECT_THROW(writer.finish(), InternalError);
  }
  EXPECT_THAT(folder.names(), IsEmpty());
}

TEST(SafetensorsWriter, RefusesMoreDataThanItsTensorsTake) {
  const TemporaryFolder folder;
  SafetensorsWriter writer(folder / "x", {kBytes});
  EXPECT_THROW(writer.write(bytes_of("abcdef")), InternalError);
  writer.write(bytes_of("abcde"));
  EXPECT_THROW(writer.write(bytes_of("f")), InternalError);
  EXPECT_EQ(writer.finish().bytes % 8, 5);
}

TEST(SafetensorsWriter, LeavesAloneAFileThatIsThere) {
  const TemporaryFolder folder;
  folder.write("x", "old");
  EXPECT_THAT(message_of<StorageError>([&] { SafetensorsWriter(folder / "x", {kBytes}); }),
              AllOf(HasSubstr(folder / "x"), HasSubstr("File exists")));
  EXPECT_EQ(contents_of(folder / "x"), "old");
}

TEST(SafetensorsWriter, RefusesNamesThatComeTwice) {
  EXPECT_THAT(refusal({kBytes, kFloats, kBytes}), HasSubstr(R"(the name "b" twice)"));
}

TEST(SafetensorsWriter, RefusesATensorOfTheMetadatasName) {
  EXPECT_THAT(refusal({{.name = "__metadata__", .shape = {1}}}), HasSubstr("__metadata__"));
  EXPECT_THAT(refusal({{.name = "__metadata__", .shape = {1}}}, {{"format", "pt"}}),
              HasSubstr(R"(the name "__metadata__" twice)"));
}

TEST(SafetensorsWriter, RefusesTextThatIsNotUtf8) {
  EXPECT_THAT(refusal({{.name = "\xff", .shape = {1}}}), HasSubstr("not UTF-8"));
  EXPECT_THAT(refusal({kBytes}, {{"key", "\xc3"}}), HasSubstr("not UTF-8"));
}

TEST(SafetensorsWriter, RefusesShapesThatCannotBeStored) {
  EXPECT_THAT(refusal({{.name = "a", .shape = {INT64_MAX, 2}}}), HasSubstr("can be counted"));
  const TensorInfo large = {.name = "a", .type = TensorType::kU8, .shape = {std::int64_t{1} << 59}};
  std::vector<TensorInfo> many(16, large);
  EXPECT_THAT(refusal(many), HasSubstr("tensors of more bytes than can be counted"));
  EXPECT_THAT(refusal({{.name = "a", .type = TensorType::kF4, .shape = {3}}}),
              HasSubstr("end within a byte"));
}

TEST(SafetensorsWriter, NamesAFolderThatIsMissing) {
  const TemporaryFolder folder;
  EXPECT_THAT(message_of<StorageError>([&] { SafetensorsWriter(folder / "no/x", {kBytes}); }),
              AllOf(HasSubstr(folder / "no/x"), HasSubstr("No such file or directory")));
}

/// Small and large pieces take different ways to the disk.
class SafetensorsWriterOnAFullDisk : public testing::TestWithParam<std::size_t> {};

TEST_P(SafetensorsWriterOnAFullDisk, NamesTheFileAndLeavesNothing) {
  const TemporaryFolder folder;
  const std::string piece(GetParam(), 'x');
  const TensorInfo tensor = {
      .name = "a", .type = TensorType::kU8, .shape = {static_cast<std::int64_t>(piece.size())}};
  const auto message = message_of<StorageError>([&] {
    const SmallDisk disk(4096);
    SafetensorsWriter writer(folder / "x", {tensor});
    writer.write(bytes_of(piece));
    writer.finish();
  });
  EXPECT_THAT(message,
              AllOf(HasSubstr("cannot write '" + (folder / "x")), HasSubstr("File too large")));
  EXPECT_THAT(folder.names(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Pieces, SafetensorsWriterOnAFullDisk, testing::Values(5000, 1 << 20));

TEST(SafetensorsWriter, LeavesNothingWhereEvenTheHeaderFindsNoRoom) {
  const TemporaryFolder folder;
  const std::map<std::string, std::string> metadata = {{"note", std::string(1 << 20, 'x')}};
  EXPECT_THAT(message_of<StorageError>([&] {
                const SmallDisk disk(4096);
                SafetensorsWriter(folder / "x", {kBytes}, metadata);
              }),
              HasSubstr("File too large"));
  EXPECT_THAT(folder.names(), IsEmpty());
}

}  // namespace
}  // namespace hetmoe
