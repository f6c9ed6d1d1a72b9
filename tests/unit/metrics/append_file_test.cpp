#include "runtime/metrics/append_file.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "tests/unit/metrics/metrics_test_files.h"

namespace hetmoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(AppendFile, ContinuesWhatStandsThere) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "lines";
  AppendFile(path).append_line("one");
  AppendFile(path).append_line("two");
  EXPECT_THAT(lines_of(path), ElementsAre("one", "two"));
}

TEST(AppendFile, DropsATornLastLineOnOpening) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "lines";
  put(path, "{\"step\":1}\n{\"step\":2,\"lo");
  AppendFile(path).append_line("{\"step\":2}");
  EXPECT_EQ(contents_of(path), "{\"step\":1}\n{\"step\":2}\n");
}

TEST(AppendFile, DropsATornLineLongerThanTheBlocksItReads) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "lines";
  put(path, "whole\n" + std::string(10000, 'x'));
  AppendFile(path).append_line("next");
  EXPECT_THAT(lines_of(path), ElementsAre("whole", "next"));
}

TEST(AppendFile, LosesAtMostItsLastLineWhenItsWriterIsKilled) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "lines";
  const std::string line(5000, 'y');  // more than a page: the kernel may stop in between
  const pid_t writer = ::fork();
  ASSERT_GE(writer, 0);
  if (writer == 0) {
    AppendFile file(path);
    for (;;) file.append_line(line);
  }
  ::usleep(50000);
  ::kill(writer, SIGKILL);
  ::waitpid(writer, nullptr, 0);
  AppendFile(path).append_line("next");
  const auto lines = lines_of(path);
  ASSERT_GT(lines.size(), 1U);
  EXPECT_EQ(lines.back(), "next");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), line), std::ssize(lines) - 1);
}

TEST(AppendFile, TakesBackALineThatDoesNotFit) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "lines";
  const pid_t writer = ::fork();
  ASSERT_GE(writer, 0);
  if (writer == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {100, 100};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    AppendFile file(path);
    file.append_line(std::string(79, 'a'));
    try {
      file.append_line(std::string(79, 'b'));
    } catch (const StorageError&) {
      ::_exit(0);
    }
    ::_exit(1);
  }
  int status = -1;
  ::waitpid(writer, &status, 0);
  EXPECT_EQ(status, 0) << "a line cut short must be a StorageError";
  EXPECT_EQ(contents_of(path), std::string(79, 'a') + "\n");
}

TEST(AppendFile, NamesTheFileItCannotOpen) {
  const TemporaryFolder folder;
  try {
    AppendFile file(folder.path() / "absent" / "lines");
    FAIL() << "opened a file in a folder that does not exist";
  } catch (const StorageError& error) {
    EXPECT_THAT(error.what(), StartsWith("cannot open '"));
    EXPECT_THAT(error.what(), HasSubstr("absent/lines': No such file or directory"));
  }
}

TEST(AtomicFile, ReplacesTheOldContentsAndLeavesNothingElse) {
  const TemporaryFolder folder;
  write_file_atomically(folder.path() / "config.yaml", "old: 1\n");
  write_file_atomically(folder.path() / "config.yaml", "new: 2\n");
  EXPECT_EQ(contents_of(folder.path() / "config.yaml"), "new: 2\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(AtomicFile, KeepsTheOldContentsWhenItFails) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "plan.json";
  std::filesystem::create_directories(path / "occupied");
  EXPECT_THROW(write_file_atomically(path, "new"), StorageError);
  EXPECT_TRUE(std::filesystem::exists(path / "occupied"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(AtomicFile, APathIsKnownToBeUnwritableBeforeItIsWritten) {
  const TemporaryFolder folder;
  require_writable(folder.path() / "new.yaml");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_THROW(require_writable(folder.path()), StorageError);
  EXPECT_THROW(require_writable(folder.path() / "absent/new.yaml"), StorageError);
}

}  // namespace
}  // namespace hetmoe
