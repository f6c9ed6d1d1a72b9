#include "launcher/last_lines.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <string>

#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(LastLines, AreTheNewestOldestFirst) {
  const TemporaryFolder folder;
  folder.write("file", "a\nb\nc\n");
  EXPECT_THAT(last_lines(folder.path() / "file", 2), ElementsAre("b", "c"));
  EXPECT_THAT(last_lines(folder.path() / "file", 5), ElementsAre("a", "b", "c"));
}

TEST(LastLines, OneThatIsBeingWrittenIsLeftOut) {
  const TemporaryFolder folder;
  folder.write("file", "a\nb\nhal");
  EXPECT_THAT(last_lines(folder.path() / "file", 5), ElementsAre("a", "b"));
  folder.write("file", "hal");
  EXPECT_THAT(last_lines(folder.path() / "file", 5), IsEmpty());
}

TEST(LastLines, OfALargeFileOnlyTheEndIsReadAndNoHalfLine) {
  const TemporaryFolder folder;
  const std::string line(1000, 'x');
  std::string text;
  for (int i = 0; i < 1000; ++i) text += line + "\n";
  folder.write("file", text);
  const auto lines = last_lines(folder.path() / "file", 5000);
  EXPECT_EQ(lines.size(), 261u);  // 262,144 bytes hold 261 whole lines of 1,001
  for (const std::string& found : lines) EXPECT_EQ(found, line);
}

TEST(LastLines, OfWhatIsNoFileAreNone) {
  const TemporaryFolder folder;
  EXPECT_THAT(last_lines(folder.path() / "absent", 5), IsEmpty());
  EXPECT_THAT(last_lines(folder.path(), 5), IsEmpty());
  ASSERT_EQ(::mkfifo((folder.path() / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(last_lines(folder.path() / "pipe", 5), IsEmpty());
  folder.write("empty", "");
  EXPECT_THAT(last_lines(folder.path() / "empty", 5), IsEmpty());
}

}  // namespace
}  // namespace hetmoe
