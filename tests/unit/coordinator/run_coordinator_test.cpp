// Who takes part, how far they are, and what people ask for.

#include "runtime/coordinator/run_coordinator.h"

#include <gmock/gmock.h>

#include "runtime/coordinator/limits.h"
#include "tests/support/small_disk.h"
#include "tests/unit/coordinator/run_coordinator_fixture.h"

namespace hetmoe {
namespace {

namespace limits = coordinator_limits;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto kInvalid = CoordinatorFault::kInvalid;
constexpr auto kStale = CoordinatorFault::kStale;
constexpr auto kNotJoined = CoordinatorFault::kNotJoined;

TEST_F(RunCoordinatorTest, nobody_has_joined_at_first) {
  const CoordinatorStatus status = coordinator->status();
  EXPECT_EQ(status.run, "");
  EXPECT_EQ(status.generation, 0);
  EXPECT_THAT(status.members, IsEmpty());
  EXPECT_EQ(fault_of([&] { coordinator->heartbeat(beat_of(0)); }), kNotJoined);
}

TEST_F(RunCoordinatorTest, the_first_join_fixes_run_and_ranks) {
  EXPECT_EQ(coordinator->join(join_of(1, 3, 0)).generation, 1);
  const CoordinatorStatus status = coordinator->status();
  EXPECT_EQ(status.run, "tiny-a");
  EXPECT_EQ(status.generation, 1);
  EXPECT_EQ(status.ranks, 3);
  ASSERT_EQ(status.members.size(), 3u);
  EXPECT_FALSE(status.members[0].joined);
  EXPECT_TRUE(status.members[1].joined);
  EXPECT_EQ(status.members[1].rank, 1);
  EXPECT_EQ(status.members[1].host, "n1");
  EXPECT_EQ(status.members[1].process, 101);
  EXPECT_EQ(status.members[1].metrics_address, "n1:9000");

  JoinRequest other = join_of(0, 3);
  other.member.run = "tiny-b";
  const auto error = error_of([&] { coordinator->join(other); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->fault(), kInvalid);
  EXPECT_THAT(error->what(), AllOf(HasSubstr("tiny-a"), HasSubstr("tiny-b")));
  EXPECT_EQ(join_fault(join_of(0, 2)), kInvalid) << "another number of ranks in a generation";
  EXPECT_EQ(join_fault(join_of(0, 3)), std::nullopt);
}

TEST_F(RunCoordinatorTest, a_rank_that_another_process_holds_is_refused_by_its_holders_name) {
  join_all(2);
  JoinRequest other = join_of(1, 2);
  other.process = 77;
  const auto error = error_of([&] { coordinator->join(other); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->fault(), kStale);
  EXPECT_THAT(error->what(), AllOf(HasSubstr("process 101 on host n1"), HasSubstr("process 77")));
  other = join_of(1, 2);
  other.host = "n2";
  EXPECT_EQ(join_fault(other), kStale);
}

TEST_F(RunCoordinatorTest, to_join_again_is_harmless) {
  join_all(2);
  coordinator->heartbeat(beat_of(1, 8));
  coordinator->prepare_checkpoint(shard_of(1, 5));
  EXPECT_EQ(coordinator->join(join_of(1, 2)).generation, 1);
  EXPECT_EQ(coordinator->join(join_of(1, 2, 0)).generation, 1);
  EXPECT_EQ(coordinator->status().members[1].last.step, 8);
  EXPECT_EQ(coordinator->status().prepared_ranks, 1);
}

TEST_F(RunCoordinatorTest, an_open_generation_is_the_present_one_or_the_next) {
  EXPECT_EQ(coordinator->join(join_of(0, 2, 0)).generation, 1);
  EXPECT_EQ(coordinator->join(join_of(1, 2, 0)).generation, 1) << "the seat is free";
  JoinRequest restarted = join_of(0, 2, 0);
  restarted.process = 500;
  EXPECT_EQ(coordinator->join(restarted).generation, 2) << "another process holds it";
  EXPECT_EQ(coordinator->join(join_of(2, 3, 0)).generation, 3) << "another number of ranks";
}

TEST_F(RunCoordinatorTest, a_new_generation_begins_with_empty_seats_and_nothing_prepared) {
  join_all(2);
  coordinator->heartbeat(beat_of(0, 50));
  coordinator->prepare_checkpoint(shard_of(0, 50));
  EXPECT_EQ(coordinator->join(join_of(0, 3, 4)).generation, 4);
  const CoordinatorStatus status = coordinator->status();
  EXPECT_EQ(status.generation, 4);
  EXPECT_EQ(status.ranks, 3);
  EXPECT_EQ(status.prepared_step, 0);
  EXPECT_TRUE(status.members[0].joined);
  EXPECT_FALSE(status.members[1].joined);
  Heartbeat beat = beat_of(0, 7);
  beat.member.generation = 4;
  EXPECT_NO_THROW(coordinator->heartbeat(beat)) << "it goes on from an earlier step";
}

TEST_F(RunCoordinatorTest, an_earlier_generation_is_stale_in_every_call) {
  join_all(2);
  coordinator->join(join_of(0, 2, 2));
  const auto error = error_of([&] { coordinator->heartbeat(beat_of(1)); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->fault(), kStale);
  EXPECT_THAT(error->what(), AllOf(HasSubstr("generation 1"), HasSubstr("generation 2")));
  EXPECT_EQ(join_fault(join_of(1, 2, 1)), kStale);
  EXPECT_EQ(fault_of([&] { coordinator->report_step(step_of(1)); }), kStale);
  EXPECT_EQ(fault_of([&] { coordinator->prepare_checkpoint(shard_of(1, 1)); }), kStale);
  EXPECT_EQ(fault_of([&] { coordinator->commit_checkpoint(commit_of(1)); }), kStale);
}

TEST_F(RunCoordinatorTest, every_call_is_of_a_rank_that_has_joined_this_run) {
  coordinator->join(join_of(0, 2));
  EXPECT_EQ(fault_of([&] { coordinator->heartbeat(beat_of(1)); }), kNotJoined);
  EXPECT_EQ(fault_of([&] { coordinator->prepare_checkpoint(shard_of(1, 1)); }), kNotJoined);
  EXPECT_EQ(fault_of([&] { coordinator->heartbeat(beat_of(2)); }), kInvalid);
  Heartbeat beat = beat_of(0);
  beat.member.generation = 2;
  EXPECT_EQ(fault_of([&] { coordinator->heartbeat(beat); }), kNotJoined)
      << "one that this coordinator has not heard of yet";
  beat = beat_of(0);
  beat.member.run = "tiny-b";
  EXPECT_EQ(fault_of([&] { coordinator->heartbeat(beat); }), kInvalid);
}

TEST_F(RunCoordinatorTest, the_last_generation_that_a_number_can_name_is_the_last) {
  coordinator->join(join_of(0, 2, 1'000'000'000));
  JoinRequest next = join_of(0, 2, 0);
  next.process = 500;
  EXPECT_EQ(join_fault(next), kInvalid);
}

TEST_F(RunCoordinatorTest, a_rank_does_not_go_back_to_an_earlier_step) {
  join_all(2);
  coordinator->heartbeat(beat_of(1, 7));
  coordinator->heartbeat(beat_of(1, 7));
  coordinator->heartbeat(beat_of(0, 3));
  const auto error = error_of([&] { coordinator->heartbeat(beat_of(1, 6)); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->fault(), kInvalid);
  EXPECT_THAT(error->what(), AllOf(HasSubstr("step is 6"), HasSubstr("from 7")));
  EXPECT_EQ(coordinator->status().members[1].last.step, 7);
}

TEST_F(RunCoordinatorTest, steps_are_reported_by_rank_0_in_increasing_order) {
  join_all(2);
  coordinator->report_step(step_of(4));
  StepReport repeat = step_of(4);
  repeat.record.loss = 9;
  coordinator->report_step(repeat);
  EXPECT_EQ(coordinator->status().last_step.loss, 2.5) << "the first one counts";
  coordinator->report_step(step_of(6));
  EXPECT_EQ(fault_of([&] { coordinator->report_step(step_of(5)); }), kInvalid);
  EXPECT_EQ(coordinator->status().last_step.step, 6);
  StepReport other = step_of(7);
  other.member.rank = 1;
  EXPECT_EQ(fault_of([&] { coordinator->report_step(other); }), kInvalid);

  coordinator->join(join_of(0, 2, 2));
  StepReport next = step_of(3);
  next.member.generation = 2;
  coordinator->report_step(next);
  EXPECT_EQ(coordinator->status().last_step.step, 3) << "it went on from a checkpoint";
  EXPECT_EQ(coordinator->status().last_step.generation, 2);
}

TEST_F(RunCoordinatorTest, commands_go_to_rank_0_until_it_has_executed_them) {
  join_all(2);
  EXPECT_EQ(coordinator->command(CommandKind::kSave).number, 1);
  EXPECT_EQ(coordinator->command(CommandKind::kRebalance).number, 2);
  EXPECT_THAT(open_commands(), ElementsAre(1, 2));
  EXPECT_THAT(coordinator->heartbeat(beat_of(1)).commands, IsEmpty());
  EXPECT_EQ(coordinator->heartbeat(executed(1, 1001)).commands.size(), 1u);
  EXPECT_EQ(coordinator->command(CommandKind::kStop).number, 3);
  EXPECT_EQ(coordinator->heartbeat(executed(2, 1002)).commands.size(), 1u);
  EXPECT_EQ(coordinator->heartbeat(executed(3, 1003)).commands.size(), 0u);
  const auto commands = coordinator->status().commands;
  ASSERT_EQ(commands.size(), 3u);
  EXPECT_EQ(commands[0].executed_step, 1001);
  EXPECT_EQ(commands[1].executed_step, 1002);
  EXPECT_EQ(commands[2].executed_step, 1003);
}

TEST_F(RunCoordinatorTest, an_execution_that_is_told_again_does_not_change_when_it_was) {
  join_all(1);
  coordinator->command(CommandKind::kSave);
  coordinator->heartbeat(executed(1, 10));
  coordinator->heartbeat(executed(1, 20));
  EXPECT_EQ(coordinator->status().commands[0].executed_step, 10);
}

TEST_F(RunCoordinatorTest, what_was_never_asked_for_cannot_have_been_executed) {
  join_all(1);
  coordinator->command(CommandKind::kSave);
  EXPECT_EQ(fault_of([&] { coordinator->heartbeat(executed(2, 10)); }), kInvalid);
  EXPECT_EQ(coordinator->status().commands[0].executed_step, 0);
}

TEST_F(RunCoordinatorTest, the_same_command_twice_is_one_until_it_is_executed) {
  join_all(1);
  EXPECT_EQ(coordinator->command(CommandKind::kSave).number, 1);
  EXPECT_EQ(coordinator->command(CommandKind::kSave).number, 1);
  coordinator->heartbeat(executed(1, 10));
  EXPECT_EQ(coordinator->command(CommandKind::kSave).number, 2);
}

TEST_F(RunCoordinatorTest, only_so_many_commands_may_wait) {
  coordinator.reset();
  JournalState state;
  for (std::size_t i = 0; i < limits::kOpenCommands; ++i) {
    state.commands.push_back({.number = ++state.newest_command, .kind = CommandKind::kSave});
  }
  Journal(folder / "journal").record(state);
  start_again();
  const auto error = error_of([&] { coordinator->command(CommandKind::kStop); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->fault(), kInvalid);
  EXPECT_THAT(error->what(), AllOf(HasSubstr("stop"), HasSubstr("up to 64")));
  EXPECT_EQ(coordinator->status().commands.size(), limits::kListedCommands);
}

TEST_F(RunCoordinatorTest, old_executed_commands_are_forgotten_and_open_ones_never) {
  join_all(1);
  for (std::int64_t i = 1; i <= 40; ++i) {
    EXPECT_EQ(coordinator->command(CommandKind::kSave).number, i);
    coordinator->heartbeat(executed(i, i));
  }
  coordinator->command(CommandKind::kStop);
  coordinator.reset();
  const Journal journal(folder / "journal");
  EXPECT_EQ(journal.state().commands.size(), limits::kListedCommands + 1);
  EXPECT_EQ(journal.state().commands.front().number, 25);
  EXPECT_EQ(journal.state().commands.back().number, 41);
}

TEST_F(RunCoordinatorTest, a_command_waits_for_the_next_generation_and_a_restart) {
  EXPECT_EQ(coordinator->command(CommandKind::kSave).number, 1) << "nobody has joined yet";
  join_all(1);
  coordinator->heartbeat(executed(1, 10));
  coordinator->command(CommandKind::kStop);
  start_again();
  coordinator->join(join_of(0, 1, 2));
  Heartbeat beat = beat_of(0);
  beat.member.generation = 2;
  const auto commands = coordinator->heartbeat(beat).commands;
  ASSERT_EQ(commands.size(), 1u) << "an executed one does not come back";
  EXPECT_EQ(commands[0].number, 2);
  EXPECT_EQ(commands[0].kind, CommandKind::kStop);
}

TEST_F(RunCoordinatorTest, a_restart_keeps_run_generation_and_ranks_and_asks_to_join_again) {
  coordinator->join(join_of(0, 2, 3));
  start_again();
  const CoordinatorStatus status = coordinator->status();
  EXPECT_EQ(status.run, "tiny-a");
  EXPECT_EQ(status.generation, 3);
  EXPECT_EQ(status.members.size(), 2u);
  EXPECT_EQ(join_fault(join_of(0, 2, 2)), kStale);
  Heartbeat beat = beat_of(0);
  beat.member.generation = 3;
  EXPECT_EQ(fault_of([&] { coordinator->heartbeat(beat); }), kNotJoined);
  coordinator->join(join_of(0, 2, 3));
  EXPECT_NO_THROW(coordinator->heartbeat(beat));
}

TEST_F(RunCoordinatorTest, ranks_without_a_sign_of_life_are_silent) {
  join_all(3);
  coordinator->heartbeat(beat_of(0));
  EXPECT_THAT(coordinator->status().silent_ranks, IsEmpty());
  clock.now += limits::kSilentSeconds;
  EXPECT_THAT(coordinator->status().silent_ranks, IsEmpty()) << "exactly at the limit";
  coordinator->prepare_checkpoint(shard_of(1, 1));
  clock.now += 1;
  EXPECT_THAT(coordinator->status().silent_ranks, ElementsAre(0, 2)) << "any call is a sign";
  EXPECT_EQ(coordinator->status().members[1].silent_seconds, 1);
  EXPECT_EQ(coordinator->status().uptime_seconds, limits::kSilentSeconds + 1);
  coordinator->heartbeat(beat_of(2));
  EXPECT_THAT(coordinator->status().silent_ranks, ElementsAre(0));
}

TEST_F(RunCoordinatorTest, who_has_not_joined_is_not_silent) {
  coordinator->join(join_of(0, 2));
  clock.now += 2 * limits::kSilentSeconds;
  EXPECT_THAT(coordinator->status().silent_ranks, ElementsAre(0));
  EXPECT_EQ(coordinator->status().members[1].silent_seconds, 0);
}

TEST_F(RunCoordinatorTest, who_has_said_that_it_ends_is_not_missed_until_it_joins_again) {
  join_all(2);
  Heartbeat last = beat_of(0, 1, 7);
  last.phase = kEndedPhase;
  coordinator->heartbeat(last);
  coordinator->heartbeat(beat_of(1, 1, 9));
  clock.now += 2 * limits::kSilentSeconds;
  EXPECT_THAT(coordinator->status().silent_ranks, ElementsAre(1));
  EXPECT_THAT(coordinator->status().behind_ranks, IsEmpty()) << "it stands nowhere any more";
  EXPECT_FALSE(coordinator->status().members[0].takes_part());
  coordinator->join(join_of(0, 2, 2));
  clock.now += 2 * limits::kSilentSeconds;
  EXPECT_THAT(coordinator->status().silent_ranks, ElementsAre(0));
}

TEST_F(RunCoordinatorTest, numbers_that_move_differ_without_meaning) {
  join_all(2);
  for (int beat = 0; beat < 10; ++beat) {
    coordinator->heartbeat(beat_of(0, 1, 100 * beat + 50));
    EXPECT_THAT(coordinator->status().behind_ranks, IsEmpty());
    coordinator->heartbeat(beat_of(1, 1, 100 * beat));
    EXPECT_THAT(coordinator->status().behind_ranks, IsEmpty());
  }
}

TEST_F(RunCoordinatorTest, a_rank_that_stands_at_the_lowest_collective_is_behind) {
  join_all(3);
  const auto beat_once = [&] {
    coordinator->heartbeat(beat_of(0, 1, 42));
    coordinator->heartbeat(beat_of(1, 1, 41));
    coordinator->heartbeat(beat_of(2, 1, 42));
  };
  beat_once();
  beat_once();
  EXPECT_THAT(coordinator->status().behind_ranks, IsEmpty());
  beat_once();
  EXPECT_THAT(coordinator->status().behind_ranks, ElementsAre(1));
  coordinator->heartbeat(beat_of(1, 1, 42));
  EXPECT_THAT(coordinator->status().behind_ranks, IsEmpty()) << "all have come to it";
}

TEST_F(RunCoordinatorTest, a_stopped_rank_is_both_silent_and_behind_rank_0_too) {
  join_all(2);
  coordinator->heartbeat(beat_of(0, 1, 7));
  coordinator->heartbeat(beat_of(1, 1, 7));
  clock.now += limits::kSilentSeconds + 1;
  coordinator->heartbeat(beat_of(1, 1, 9));
  EXPECT_THAT(coordinator->status().silent_ranks, ElementsAre(0));
  EXPECT_THAT(coordinator->status().behind_ranks, ElementsAre(0));
}

TEST_F(RunCoordinatorTest, a_status_shows_what_the_last_beat_said) {
  join_all(1);
  Heartbeat beat = beat_of(0, 12, 99);
  beat.memory_bytes = 4096;
  beat.wait_seconds = 0.25;
  coordinator->heartbeat(beat);
  const RankStatus rank = coordinator->status().members[0];
  EXPECT_EQ(rank.last.step, 12);
  EXPECT_EQ(rank.last.collective_sequence, 99);
  EXPECT_EQ(rank.last.collective, "all_to_all");
  EXPECT_EQ(rank.last.memory_bytes, 4096);
  EXPECT_EQ(rank.last.wait_seconds, 0.25);
  EXPECT_EQ(rank.last.member.run, "");
}

TEST_F(RunCoordinatorTest, nothing_is_acknowledged_that_is_not_on_the_disk) {
  join_all(2);
  coordinator->command(CommandKind::kSave);
  {
    const SmallDisk full(10);
    EXPECT_THROW(coordinator->command(CommandKind::kStop), StorageError);
    EXPECT_THROW(coordinator->commit_checkpoint(commit_of(5)), StorageError);
    EXPECT_THROW(coordinator->heartbeat(executed(1, 3)), StorageError);
    EXPECT_THROW(coordinator->join(join_of(0, 4, 2)), StorageError);
    EXPECT_NO_THROW(coordinator->heartbeat(beat_of(1))) << "what needs no disk goes on";
  }
  const CoordinatorStatus status = coordinator->status();
  EXPECT_EQ(status.generation, 1);
  EXPECT_EQ(status.members.size(), 2u);
  EXPECT_TRUE(status.members[0].joined);
  ASSERT_EQ(status.commands.size(), 1u);
  EXPECT_EQ(status.commands[0].executed_step, 0);
  EXPECT_EQ(status.committed.step, 0);
  EXPECT_EQ(coordinator->command(CommandKind::kStop).number, 2) << "the number was not used up";
}

}  // namespace
}  // namespace hetmoe
