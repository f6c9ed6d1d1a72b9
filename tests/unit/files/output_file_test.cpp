#include "core/files/output_file.h"

#include <gmock/gmock.h>

#include <array>

#include "core/base/error.h"
#include "tests/support/small_disk.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(OutputFile, BearsItsNameOnlyAfterCommit) {
  const TemporaryFolder folder;
  folder.write("a", "old");
  OutputFile file(folder / "a");
  file.write("new");
  file.sync();
  EXPECT_EQ(contents_of(folder / "a"), "old");
  file.commit();
  EXPECT_EQ(contents_of(folder / "a"), "new");
  EXPECT_THAT(folder.names(), ElementsAre("a"));
}

TEST(OutputFile, KeepsTheOldContentsWhenDropped) {
  const TemporaryFolder folder;
  folder.write("a", "old");
  { OutputFile(folder / "a").write("new"); }
  EXPECT_EQ(contents_of(folder / "a"), "old");
  EXPECT_THAT(folder.names(), ElementsAre("a"));
}

TEST(OutputFile, TakesOverWhatAKilledProcessLeft) {
  const TemporaryFolder folder;
  folder.write("a.partial", "a longer leftover");
  OutputFile file(folder / "a");
  file.write("new");
  file.commit();
  EXPECT_EQ(contents_of(folder / "a"), "new");
}

TEST(OutputFile, WritesAndReadsBackMoreThanItsBuffer) {
  const TemporaryFolder folder;
  OutputFile file(folder / "a");
  std::string expected;
  for (int i = 0; i < 100000; ++i) {
    file.write(std::to_string(i));
    expected += std::to_string(i);
  }
  std::array<std::byte, 10> back{};
  file.read_back(300000, back);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(back.data()), 10),
            expected.substr(300000, 10));
  file.commit();
  EXPECT_EQ(contents_of(folder / "a"), expected);
  EXPECT_EQ(file.written_bytes(), static_cast<std::int64_t>(expected.size()));
}

TEST(OutputFile, GoesOnBehindWhatAnEarlierOneKept) {
  const TemporaryFolder folder;
  {
    OutputFile file(folder / "a");
    file.write("kept, dropped");
    file.sync();
    file.keep();
    file.write("never reaches the file");
  }
  EXPECT_EQ(contents_of(folder / "a.partial"), "kept, dropped");
  EXPECT_THAT(message_of<StorageError>([&] { OutputFile(folder / "a", 14); }),
              HasSubstr("a.partial': it holds 13 bytes of 14"));
  OutputFile file(folder / "a", 6);
  EXPECT_EQ(file.written_bytes(), 6);
  file.write("new");
  std::array<std::byte, 9> back{};
  file.read_back(0, back);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(back.data()), 9), "kept, new");
  file.commit();
  EXPECT_EQ(contents_of(folder / "a"), "kept, new");
  EXPECT_THAT(message_of<StorageError>([&] { OutputFile(folder / "b", 0); }),
              HasSubstr("b.partial': No such file"));
}

TEST(OutputFile, ReportsADiskThatTakesNoMore) {
  const TemporaryFolder folder;
  const auto message = message_of<StorageError>([&] {
    const SmallDisk disk(4096);
    OutputFile file(folder / "a");
    file.write(std::string(10000, 'x'));
    file.commit();
  });
  EXPECT_THAT(message, HasSubstr("a.partial': File too large"));
  EXPECT_THAT(folder.names(), testing::IsEmpty());
}

}  // namespace
}  // namespace hetmoe
