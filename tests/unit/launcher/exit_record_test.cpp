#include "launcher/exit_record.h"

#include <gtest/gtest.h>

#include "runtime/metrics/run_directory.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

TEST(ExitRecord, IsReadAsTheRunDirectoryWritesIt) {
  const TemporaryFolder folder;
  const ExitRecordWatch watch(folder.path());
  EXPECT_FALSE(watch.written_since());
  RunDirectory::open(folder.path()).write_exit_json(ExitCode::kCommunication, "rank 2 is gone");
  const auto record = watch.written_since();
  ASSERT_TRUE(record);
  EXPECT_EQ(record->code, ExitCode::kCommunication);
  EXPECT_EQ(record->reason, "rank 2 is gone");
}

TEST(ExitRecord, OfAnEarlierRunIsNotTaken) {
  const TemporaryFolder folder;
  const RunDirectory directory = RunDirectory::open(folder.path());
  directory.write_exit_json(ExitCode::kStorage, "old");
  const ExitRecordWatch watch(folder.path());
  EXPECT_FALSE(watch.written_since());
  // The same bytes again are another attempt's.
  directory.write_exit_json(ExitCode::kStorage, "old");
  EXPECT_TRUE(watch.written_since());
}

TEST(ExitRecord, OfAnyAttemptIsReadWhereThatIsAsked) {
  const TemporaryFolder folder;
  EXPECT_FALSE(read_exit_record(folder.path()));
  EXPECT_FALSE(read_exit_record(folder.path() / "absent"));
  RunDirectory::open(folder.path()).write_exit_json(ExitCode::kDone, "finished");
  const auto record = read_exit_record(folder.path());
  ASSERT_TRUE(record);
  EXPECT_EQ(record->code, ExitCode::kDone);
  EXPECT_EQ(record->reason, "finished");
  folder.write("exit.json", "{");
  EXPECT_FALSE(read_exit_record(folder.path()));
}

TEST(ExitRecord, MayBeInAFolderThatTheRunMakes) {
  const TemporaryFolder folder;
  const ExitRecordWatch watch(folder.path() / "run");
  EXPECT_FALSE(watch.written_since());
  std::filesystem::create_directory(folder.path() / "run");
  folder.write("run/exit.json", R"({"code": 93, "reason": "stopped"})");
  ASSERT_TRUE(watch.written_since());
  EXPECT_EQ(watch.written_since()->code, ExitCode::kDoNotRunAgain);
}

TEST(ExitRecord, OfAnotherShapeIsNotTaken) {
  const TemporaryFolder folder;
  const ExitRecordWatch watch(folder.path());
  for (const char* text : {"", "{", "[]", "null", "{}", R"({"code": "4"})", R"({"code": 4.5})",
                           R"({"code": 7})", R"({"code": -1})", R"({"code": 1e300})",
                           R"({"code": 18446744073709551615})", R"({"code": 260})"}) {
    folder.write("exit.json", text);
    EXPECT_FALSE(watch.written_since()) << text;
  }
  folder.write("exit.json", R"({"code": 4})");
  ASSERT_TRUE(watch.written_since());
  EXPECT_EQ(watch.written_since()->reason, "");
}

TEST(ExitRecord, GivesAReasonThatFitsOnALine) {
  const TemporaryFolder folder;
  const ExitRecordWatch watch(folder.path());
  folder.write("exit.json", R"({"code": 1, "reason": "a\u001b[31mb\u0007\nsecond"})");
  EXPECT_EQ(watch.written_since()->reason, "a [31mb ");
  folder.write("exit.json", R"({"code": 1, "reason": ")" + std::string(5000, 'x') + "\"}");
  EXPECT_EQ(watch.written_since()->reason, std::string(300, 'x'));
}

TEST(ExitRecord, IsNotWaitedForInAPipeOrReadFromAFolder) {
  const TemporaryFolder folder;
  const ExitRecordWatch watch(folder.path());
  ASSERT_EQ(::mkfifo((folder / "exit.json").c_str(), 0600), 0);
  EXPECT_FALSE(watch.written_since());
  std::filesystem::remove(folder / "exit.json");
  std::filesystem::create_directory(folder / "exit.json");
  EXPECT_FALSE(watch.written_since());
}

}  // namespace
}  // namespace hetmoe
