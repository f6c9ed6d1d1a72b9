#include "runtime/coordinator/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "core/base/error.h"
#include "runtime/coordinator/limits.h"
#include "tests/support/small_disk.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/coordinator_test_support.h"

namespace hetmoe {
namespace {

namespace limits = coordinator_limits;
using testing::AllOf;
using testing::HasSubstr;

JournalState some_state(std::int64_t generation = 3) {
  JournalState state;
  state.run = "größe \"7\"";
  state.generation = generation;
  state.ranks = 5;
  state.newest_command = 9;
  state.commands = {{.number = 4, .kind = CommandKind::kStopAndRequeue, .executed_step = 11},
                    {.number = 9, .kind = CommandKind::kRebalance}};
  state.committed = commit_of(1234);
  state.committed.member = {.generation = 1};
  state.committed.seconds = 0.1;
  return state;
}

/// Field by field, so that a field that is not written shows.
void expect_same(const JournalState& one, const JournalState& other) {
  EXPECT_EQ(one.run, other.run);
  EXPECT_EQ(one.generation, other.generation);
  EXPECT_EQ(one.ranks, other.ranks);
  EXPECT_EQ(one.newest_command, other.newest_command);
  ASSERT_EQ(one.commands.size(), other.commands.size());
  for (std::size_t i = 0; i < one.commands.size(); ++i) {
    EXPECT_EQ(one.commands[i].number, other.commands[i].number);
    EXPECT_EQ(one.commands[i].kind, other.commands[i].kind);
    EXPECT_EQ(one.commands[i].executed_step, other.commands[i].executed_step);
  }
  EXPECT_EQ(one.committed.member.generation, other.committed.member.generation);
  EXPECT_EQ(one.committed.step, other.committed.step);
  EXPECT_EQ(one.committed.bytes, other.committed.bytes);
  EXPECT_EQ(one.committed.seconds, other.committed.seconds);
  EXPECT_EQ(one.committed.wall_seconds, other.committed.wall_seconds);
}

class JournalTest : public testing::Test {
 protected:
  std::int64_t lines() const { return std::ranges::count(contents_of(path), '\n'); }
  std::string error_of_opening() const {
    return message_of<StorageError>([&] { Journal opened(path); });
  }

  TemporaryFolder folder;
  const std::string path = folder / "coordinator.journal";
};

TEST_F(JournalTest, an_empty_one_holds_nothing_and_exists) {
  expect_same(Journal(path).state(), JournalState());
  EXPECT_TRUE(std::filesystem::exists(path));
  expect_same(Journal(path).state(), JournalState());
}

TEST_F(JournalTest, the_last_state_recorded_is_read_again) {
  {
    Journal journal(path);
    journal.record(some_state(1));
    journal.record(some_state(3));
    expect_same(journal.state(), some_state(3));
    EXPECT_EQ(lines(), 2);
  }
  expect_same(Journal(path).state(), some_state(3));
  EXPECT_EQ(lines(), 1) << "opening makes it short";
}

TEST_F(JournalTest, a_torn_last_line_is_dropped_wherever_it_was_torn) {
  const std::string whole = write_journal_state(some_state(1)) + "\n";
  const std::string last = write_journal_state(some_state(2));
  for (std::size_t bytes = 0; bytes <= last.size(); bytes += bytes == 0 ? 1 : 9) {
    folder.write("coordinator.journal", whole + last.substr(0, bytes));
    Journal journal(path);
    ASSERT_EQ(journal.state().generation, 1) << bytes;
    journal.record(some_state(4));
    ASSERT_EQ(contents_of(path), whole + write_journal_state(some_state(4)) + "\n") << bytes;
  }
}

TEST_F(JournalTest, a_torn_first_line_leaves_an_empty_journal) {
  folder.write("coordinator.journal", "{\"format\":");
  expect_same(Journal(path).state(), JournalState());
  EXPECT_EQ(contents_of(path), "");
}

TEST_F(JournalTest, damage_before_the_last_line_names_file_and_line) {
  const std::string good = write_journal_state(some_state()) + "\n";
  folder.write("coordinator.journal", good + "{\"format\"\n" + good);
  EXPECT_EQ(error_of_opening(), path + ":2 is no JSON");
  folder.write("coordinator.journal", good + "\n" + good);
  EXPECT_EQ(error_of_opening(), path + ":2 is no JSON");
  folder.write("coordinator.journal", good + "{}\n");
  EXPECT_EQ(error_of_opening(), path + ":2 lacks 'format'");
}

TEST_F(JournalTest, every_field_is_checked) {
  const auto error_with = [](const std::string& from, const std::string& to) {
    std::string line = write_journal_state(some_state());
    const std::size_t at = line.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return message_of<StorageError>(
        [&] { read_journal_state(line.replace(at, from.size(), to), "j"); });
  };
  EXPECT_EQ(error_with("\"format\":1", "\"format\":2"), "j format is 2, allowed: 1 to 1");
  EXPECT_EQ(error_with("\"ranks\":5", "\"ranks\":0"), "j ranks is 0, allowed: 1 to 65536");
  EXPECT_EQ(error_with("\"ranks\":5", "\"ranks\":5.5"), "j ranks is 5.5, allowed: 1 to 65536");
  EXPECT_EQ(error_with("\"ranks\":5", "\"ranks\":null"), "j ranks is null, allowed: 1 to 65536");
  EXPECT_EQ(error_with("\"ranks\":5", "\"ranks\":18446744073709551615"),
            "j ranks is 18446744073709551615, allowed: 1 to 65536");
  EXPECT_EQ(error_with("\"ranks\":5", "\"rank\":5"), "j lacks 'ranks'");
  EXPECT_EQ(error_with("\"ranks\":5", "\"ranks\":5,\"more\":1"), "j has 8 keys, allowed: 7");
  EXPECT_EQ(error_with("\"generation\":3", "\"generation\":-1"),
            "j generation is -1, allowed: 0 to 1000000000");
  EXPECT_THAT(error_with("\"generation\":3", "\"generation\":0"), HasSubstr("run is"));
  EXPECT_THAT(error_with("gr\\u00f6", "gr\\n"), HasSubstr("run is"));
  EXPECT_THAT(error_with("\"number\":4", "\"number\":9"), HasSubstr("number is 9"));
  EXPECT_THAT(error_with("\"number\":9", "\"number\":10"), HasSubstr("allowed: 5 to 9"));
  EXPECT_THAT(error_with("rebalance", "reboot"),
              HasSubstr("command is \"reboot\", allowed: save, stop, stop_and_requeue, rebalance"));
  EXPECT_THAT(error_with("\"executed_step\":11", "\"executed_step\":-11"),
              HasSubstr("executed_step is -11"));
  EXPECT_THAT(error_with("\"generation\":1", "\"generation\":4"),
              HasSubstr("committed generation is 4, allowed: 1 to 3"));
  EXPECT_THAT(error_with("\"bytes\":128", "\"bytes\":-1"), HasSubstr("bytes is -1"));
  EXPECT_THAT(error_with("\"seconds\":0.1", "\"seconds\":-0.1"), HasSubstr("seconds is -0.1"));
  EXPECT_THAT(error_with("\"seconds\":0.1", "\"seconds\":1e999"), HasSubstr("no JSON"));
  EXPECT_EQ(error_with("\"ranks\":5", "\"ranks\":" + std::string(70000, '1')),
            "j is 70" + std::to_string(write_journal_state(some_state()).size() - 1) +
                " bytes long, allowed: up to 65536");
}

TEST_F(JournalTest, too_many_commands_are_damage) {
  JournalState state = some_state();
  const auto allowed = static_cast<std::int64_t>(limits::kOpenCommands + limits::kListedCommands);
  state.newest_command = allowed + 1;
  state.commands.clear();
  while (std::cmp_less(state.commands.size(), allowed)) {
    state.commands.push_back({.number = static_cast<std::int64_t>(state.commands.size()) + 1});
  }
  expect_same(read_journal_state(write_journal_state(state), "j"), state);
  state.commands.push_back({.number = allowed + 1});
  EXPECT_THAT(
      message_of<StorageError>([&] { read_journal_state(write_journal_state(state), "j"); }),
      HasSubstr("81 commands, allowed: up to 80"));
}

TEST_F(JournalTest, a_second_coordinator_on_the_folder_is_refused_by_name) {
  auto first = std::make_unique<Journal>(path);
  EXPECT_THAT(error_of_opening(), AllOf(HasSubstr(path), HasSubstr("another coordinator")));
  first.reset();
  EXPECT_EQ(error_of_opening(), "no error");
}

TEST_F(JournalTest, the_lock_of_a_process_that_was_killed_is_free) {
  const pid_t child = fork();
  if (child == 0) {
    Journal journal(path);
    journal.record(some_state());
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  expect_same(Journal(path).state(), some_state());
}

TEST_F(JournalTest, it_stays_short_however_much_is_recorded) {
  Journal journal(path);
  for (std::int64_t i = 1; i <= Journal::kMostLines + 10; ++i) journal.record(some_state(i + 1));
  EXPECT_EQ(lines(), 10);
  expect_same(journal.state(), some_state(Journal::kMostLines + 11));
  const std::string text = contents_of(path);
  EXPECT_EQ(text.substr(text.rfind('\n', text.size() - 2) + 1),
            write_journal_state(some_state(Journal::kMostLines + 11)) + "\n");
}

TEST_F(JournalTest, on_a_full_disk_the_state_before_stands_and_room_lets_it_go_on) {
  {
    Journal journal(path);
    journal.record(some_state(1));
    const std::string before = contents_of(path);
    {
      const SmallDisk full(before.size() + 20);
      EXPECT_THAT(message_of<StorageError>([&] { journal.record(some_state(2)); }),
                  AllOf(HasSubstr(path), HasSubstr("File too large")));
      EXPECT_EQ(journal.state().generation, 1);
      EXPECT_EQ(contents_of(path), before) << "no half line";
    }
    journal.record(some_state(5));
    expect_same(journal.state(), some_state(5));
  }
  expect_same(Journal(path).state(), some_state(5));
}

TEST_F(JournalTest, a_full_disk_while_it_is_made_short_loses_nothing) {
  Journal journal(path);
  for (std::int64_t i = 1; i <= Journal::kMostLines; ++i) journal.record(some_state(i + 1));
  {
    const SmallDisk full(10);
    EXPECT_THAT(message_of<StorageError>([&] { journal.record(some_state(7777)); }),
                HasSubstr(path));
    EXPECT_EQ(lines(), Journal::kMostLines);
  }
  journal.record(some_state(8888));
  EXPECT_EQ(contents_of(path), write_journal_state(some_state(8888)) + "\n");
}

TEST_F(JournalTest, what_is_no_file_or_far_too_long_is_named) {
  std::filesystem::create_directory(path);
  EXPECT_THAT(error_of_opening(), HasSubstr("'" + path + "' is no plain file"));
  std::filesystem::remove(path);
  folder.write("coordinator.journal", "");
  std::filesystem::resize_file(path, (64 << 20) + 1);
  EXPECT_THAT(error_of_opening(), AllOf(HasSubstr(path), HasSubstr("67108865 bytes")));
  EXPECT_THAT(message_of<StorageError>([&] { Journal nowhere(folder / "no/such/journal"); }),
              HasSubstr("no/such/journal"));
}

}  // namespace
}  // namespace hetmoe
