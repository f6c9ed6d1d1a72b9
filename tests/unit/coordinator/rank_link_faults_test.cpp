// A coordinator that is away, refuses, is started again, or has no disk.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/coordinator/rank_link.h"
#include "runtime/coordinator/run_coordinator.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/coordinator_test_support.h"
#include "tests/unit/coordinator/scripted_coordinator.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr auto kUnreachable = CoordinatorFault::kUnreachable;

class RankLinkFaultsTest : public testing::Test {
 protected:
  std::unique_ptr<RankLink> link_of(int rank, std::size_t kept_steps = 4096,
                                    double beat_seconds = 0.002) {
    RankLink::Settings settings;
    settings.beat_seconds = beat_seconds;
    settings.kept_steps = kept_steps;
    return std::make_unique<RankLink>(coordinator, join_of(rank, 2, 1), clock, settings);
  }
  bool await_beats(std::size_t more) {
    const std::size_t wanted = coordinator.beats().size() + more;
    return eventually([&] { return coordinator.beats().size() >= wanted; });
  }
  bool await_calls(std::size_t more) {
    const std::size_t wanted = coordinator.calls().size() + more;
    return eventually([&] { return coordinator.calls().size() >= wanted; });
  }
  static StepRecord record_of(std::int64_t step) { return step_of(step).record; }

  ScriptedCoordinator coordinator;
  HandClock clock;
};

TEST_F(RankLinkFaultsTest, a_join_that_nobody_answers_is_tried_again) {
  coordinator.fail("join", {kUnreachable, kUnreachable});
  const auto link = link_of(0);
  EXPECT_FALSE(link->await_join(60));
  EXPECT_EQ(coordinator.count("join"), 3);
  EXPECT_TRUE(await_beats(1));
  std::vector<std::string> notes;
  ASSERT_TRUE(eventually([&] {
    for (std::string& note : link->take_notes()) notes.push_back(std::move(note));
    return notes.size() >= 2;
  }));
  EXPECT_THAT(notes, ElementsAre(HasSubstr("coordinator away"), HasSubstr("there again")));
}

TEST_F(RankLinkFaultsTest, who_waits_for_the_join_in_vain_is_told_why) {
  coordinator.go_away();
  const auto link = link_of(0);
  ASSERT_TRUE(await_calls(2));
  const auto error = link->await_join(0.01);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->fault(), kUnreachable);
  EXPECT_THAT(error->what(), HasSubstr("n0:7000 does not answer"));
  coordinator.come_back();
  EXPECT_FALSE(link->await_join(60));
}

TEST_F(RankLinkFaultsTest, a_join_that_is_slow_is_waited_for_no_longer_than_asked) {
  coordinator.hold("join");
  const auto link = link_of(0);
  const auto error = link->await_join(0.01);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->fault(), kUnreachable);
  coordinator.release();
}

class FinalFaultTest : public RankLinkFaultsTest,
                       public testing::WithParamInterface<CoordinatorFault> {};

TEST_P(FinalFaultTest, a_refused_join_is_not_tried_again) {
  coordinator.fail("join", {GetParam()});
  const auto link = link_of(0);
  const auto error = link->await_join(60);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->fault(), GetParam());
  EXPECT_EQ(link->refusal(), "join as it was told");
  EXPECT_THAT(link->take_notes(), ElementsAre(AllOf(HasSubstr("refuses"), HasSubstr("told"))));
}

TEST_P(FinalFaultTest, a_refused_beat_ends_all_calls) {
  auto link = link_of(0);
  ASSERT_TRUE(await_beats(1));
  coordinator.fail("beat", {GetParam()});
  ASSERT_TRUE(eventually([&] { return !link->refusal().empty(); }));
  const std::size_t calls = coordinator.calls().size();
  link->report(record_of(1));
  link->prepared(10, "c", {});
  clock.now += 1000;
  EXPECT_FALSE(link->may_commit());
  link->committed(commit_of(10));
  link.reset();
  EXPECT_EQ(coordinator.calls().size(), calls);
}

INSTANTIATE_TEST_SUITE_P(Faults, FinalFaultTest,
                         testing::Values(CoordinatorFault::kStale, CoordinatorFault::kInvalid,
                                         CoordinatorFault::kUnauthenticated));

TEST_F(RankLinkFaultsTest, nothing_is_lost_while_the_coordinator_is_away) {
  const auto link = link_of(0);
  ASSERT_TRUE(await_beats(1));
  coordinator.go_away();
  for (std::int64_t step = 1; step <= 20; ++step) link->report(record_of(step));
  link->committed(commit_of(20));
  link->executed({.number = 2}, 20);
  link->prepared(30, "c", {});
  ASSERT_TRUE(await_calls(2));
  EXPECT_THAT(coordinator.steps(), IsEmpty());
  coordinator.come_back();
  EXPECT_TRUE(eventually([&] { return coordinator.steps().size() == 20; }));
  EXPECT_TRUE(std::ranges::is_sorted(coordinator.steps()));
  EXPECT_THAT(coordinator.commits(), ElementsAre(20));
  EXPECT_EQ(coordinator.beats().back().executed_command, 2);
  EXPECT_TRUE(eventually([&] { return link->may_commit(); }));
}

TEST_F(RankLinkFaultsTest, a_report_that_fails_in_the_middle_goes_on_there) {
  const auto link = link_of(0);
  ASSERT_FALSE(link->await_join(60));
  coordinator.fail("step", {kUnreachable, kUnreachable});
  for (std::int64_t step = 1; step <= 3; ++step) link->report(record_of(step));
  EXPECT_TRUE(eventually([&] { return coordinator.steps().size() == 3; }));
  EXPECT_THAT(coordinator.steps(), ElementsAre(1, 2, 3));
}

TEST_F(RankLinkFaultsTest, the_oldest_steps_make_room_and_people_are_told_how_many) {
  const auto link = link_of(0, /*kept_steps=*/5);
  ASSERT_TRUE(await_beats(1));
  coordinator.go_away();
  ASSERT_TRUE(await_calls(2));
  for (std::int64_t step = 1; step <= 12; ++step) link->report(record_of(step));
  clock.now += 75;
  coordinator.come_back();
  ASSERT_TRUE(eventually([&] { return coordinator.steps().size() == 5; }));
  EXPECT_THAT(coordinator.steps(), ElementsAre(8, 9, 10, 11, 12));
  std::vector<std::string> notes;
  ASSERT_TRUE(eventually([&] {
    for (std::string& note : link->take_notes()) notes.push_back(std::move(note));
    return notes.size() >= 2;
  }));
  EXPECT_THAT(notes, ElementsAre(HasSubstr("does not answer"),
                                 AllOf(HasSubstr("after 75.0 s"), HasSubstr("oldest 7 step"))));
}

TEST_F(RankLinkFaultsTest, room_made_while_a_step_is_under_way_costs_no_other_one) {
  const auto link = link_of(0, /*kept_steps=*/2);
  ASSERT_TRUE(await_beats(1));
  coordinator.hold("step");
  link->report(record_of(1));
  ASSERT_TRUE(eventually([&] { return coordinator.count("step") == 1; }));
  for (std::int64_t step = 2; step <= 4; ++step) link->report(record_of(step));
  coordinator.release();
  ASSERT_TRUE(eventually([&] { return coordinator.steps().size() >= 3; }));
  EXPECT_THAT(coordinator.steps(), ElementsAre(1, 3, 4));
}

TEST_F(RankLinkFaultsTest, news_do_not_make_it_ask_a_coordinator_that_is_away_more_often) {
  const auto link = link_of(0);
  ASSERT_TRUE(await_beats(1));
  const auto begin = std::chrono::steady_clock::now();
  coordinator.go_away();
  const std::size_t calls = coordinator.calls().size();
  for (std::int64_t step = 1; step <= 200; ++step) {
    link->report(record_of(step));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const auto more = static_cast<double>(coordinator.calls().size() - calls);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
  EXPECT_LE(more, 2 + passed.count() / 0.15) << "the shortest pause, however slow the machine";
}

TEST_F(RankLinkFaultsTest, a_note_is_written_when_the_reach_changes_and_not_with_every_call) {
  const auto link = link_of(0);
  ASSERT_TRUE(await_beats(1));
  coordinator.go_away();
  ASSERT_TRUE(await_calls(4));
  EXPECT_EQ(link->take_notes().size(), 1u);
}

TEST_F(RankLinkFaultsTest, a_rank_commits_alone_when_the_coordinator_has_been_away_long_enough) {
  coordinator.set_agreed(false);
  const auto link = link_of(1);
  ASSERT_TRUE(await_beats(1));
  coordinator.go_away();
  ASSERT_TRUE(await_calls(2));
  clock.now += 30;
  link->prepared(10, "c", {});
  clock.now += 59;
  EXPECT_FALSE(link->may_commit()) << "counted from when it was prepared";
  clock.now += 1;
  EXPECT_TRUE(link->may_commit());
}

TEST_F(RankLinkFaultsTest, the_time_away_counts_from_when_it_was_last_heard) {
  coordinator.set_agreed(false);
  const auto link = link_of(1);
  link->prepared(10, "c", {});
  ASSERT_TRUE(eventually([&] { return coordinator.count("prepare") >= 1; }));
  clock.now += 1000;
  ASSERT_TRUE(await_beats(2));
  EXPECT_FALSE(link->may_commit()) << "it is there, and does not agree";
  coordinator.go_away();
  ASSERT_TRUE(await_calls(2));
  clock.now += 61;
  EXPECT_TRUE(link->may_commit());
}

TEST_F(RankLinkFaultsTest, a_coordinator_that_forgot_the_rank_is_joined_and_told_again) {
  const auto link = link_of(1, 4096, 0.05);
  link->prepared(10, "c", {});
  ASSERT_TRUE(eventually([&] { return link->may_commit(); }));
  const auto asked = coordinator.count("prepare");
  coordinator.fail("beat", {CoordinatorFault::kNotJoined});
  EXPECT_TRUE(eventually([&] { return coordinator.count("join") == 2; }));
  EXPECT_TRUE(eventually([&] { return coordinator.count("prepare") > asked; }))
      << "other ranks may wait for it";
  EXPECT_TRUE(link->may_commit()) << "what was agreed stays agreed";
  EXPECT_THAT(coordinator.calls(), Contains("join 3")) << "of the generation that it was given";
  EXPECT_THAT(link->take_notes(), IsEmpty());
}

TEST_F(RankLinkFaultsTest, a_coordinator_that_always_forgets_is_not_asked_without_pause) {
  coordinator.go_away(CoordinatorFault::kNotJoined);
  const auto link = link_of(0);
  ASSERT_TRUE(await_calls(4));
  EXPECT_EQ(link->refusal(), "");
  clock.now += 61;
  link->prepared(10, "c", {});
  clock.now += 60;
  EXPECT_TRUE(link->may_commit()) << "that is as good as away";
}

TEST_F(RankLinkFaultsTest, beats_go_on_while_the_coordinator_s_disk_takes_no_commit) {
  const auto link = link_of(0);
  ASSERT_TRUE(await_beats(1));
  coordinator.fail_with_storage("commit");
  link->committed(commit_of(10));
  ASSERT_TRUE(eventually([&] { return coordinator.count("commit") >= 2; }));
  EXPECT_TRUE(await_beats(2));
  EXPECT_EQ(link->refusal(), "");
  EXPECT_THAT(link->take_notes(), ElementsAre(HasSubstr("no space left for commit")));
  coordinator.fail_with_storage("");
  EXPECT_TRUE(eventually([&] { return coordinator.commits().size() == 1; }));
}

TEST_F(RankLinkFaultsTest, the_end_makes_at_most_one_call_that_fails) {
  auto link = link_of(0);
  ASSERT_TRUE(await_beats(1));
  coordinator.go_away();
  ASSERT_TRUE(await_calls(2));
  for (std::int64_t step = 1; step <= 20; ++step) link->report(record_of(step));
  link->committed(commit_of(20));
  const std::size_t calls = coordinator.calls().size();
  link.reset();
  EXPECT_LE(coordinator.calls().size(), calls + 2) << "one may have been under way";
}

TEST_F(RankLinkFaultsTest, the_end_tells_a_coordinator_that_was_just_started_again) {
  auto link = link_of(0, 4096, 600);
  ASSERT_TRUE(eventually([&] { return !coordinator.beats().empty(); }));
  coordinator.hold("step");
  link->report(record_of(1));
  ASSERT_TRUE(eventually([&] { return coordinator.count("step") == 1; }));
  link->committed(commit_of(1));
  coordinator.fail("commit", {CoordinatorFault::kNotJoined});
  coordinator.release();
  link.reset();
  EXPECT_THAT(coordinator.commits(), ElementsAre(1));
}

/// Two ranks and a real coordinator, which is killed and started again from its journal.
class RestartTest : public testing::Test {
 protected:
  RestartTest() { start(); }

  void stop() {
    door.go_away();
    door.serve(nullptr);
    ASSERT_TRUE(eventually([&] { return running.use_count() == 1; })) << "a call is under way";
    running.reset();
  }
  void start() {
    running = std::make_shared<RunCoordinator>(folder / "journal", clock);
    door.serve(running);
    door.come_back();
  }
  std::unique_ptr<RankLink> link_of(int rank) {
    RankLink::Settings settings;
    settings.beat_seconds = 0.002;
    return std::make_unique<RankLink>(door, join_of(rank, 2), clock, settings);
  }

  TemporaryFolder folder;
  HandClock clock;
  ScriptedCoordinator door;
  std::shared_ptr<RunCoordinator> running;
};

TEST_F(RestartTest, nothing_is_lost_when_it_is_started_again_before_the_last_rank_has_prepared) {
  const auto first = link_of(0);
  const auto second = link_of(1);
  ASSERT_FALSE(first->await_join(60));
  ASSERT_FALSE(second->await_join(60));
  first->prepared(10, "c", {});
  ASSERT_TRUE(eventually([&] { return running->status().prepared_ranks == 1; }));
  running->command(CommandKind::kSave);
  stop();
  second->prepared(10, "c", {});
  for (std::int64_t step = 1; step <= 10; ++step) first->report(step_of(step).record);
  start();
  EXPECT_TRUE(eventually([&] { return first->may_commit() && second->may_commit(); }));
  std::vector<AcceptedCommand> commands;
  EXPECT_TRUE(eventually([&] {
    for (const AcceptedCommand& command : first->take_commands()) commands.push_back(command);
    return !commands.empty();
  }));
  EXPECT_TRUE(eventually([&] { return running->status().last_step.step == 10; }));
  EXPECT_TRUE(std::ranges::is_sorted(door.steps()));
  first->executed({.number = 1}, 11);
  stop();
  first->committed(commit_of(10));
  start();
  EXPECT_TRUE(eventually([&] { return running->status().committed.step == 10; }));
  EXPECT_TRUE(eventually([&] { return running->status().commands[0].executed_step == 11; }));
  EXPECT_EQ(running->status().generation, 1);
  EXPECT_EQ(first->refusal() + second->refusal(), "");
  EXPECT_EQ(commands.size(), 1u);
}

TEST_F(RestartTest, a_rank_that_had_heard_of_the_agreement_reports_again_for_those_that_had_not) {
  const auto first = link_of(0);
  const auto second = link_of(1);
  first->prepared(10, "c", {});
  second->prepared(10, "c", {});
  ASSERT_TRUE(eventually([&] { return first->may_commit() && second->may_commit(); }));
  stop();
  start();
  EXPECT_TRUE(eventually([&] { return running->status().prepared_ranks == 2; }));
}

TEST_F(RestartTest, a_new_start_of_the_run_sends_away_the_ranks_of_the_old_one) {
  const auto old_rank = link_of(1);
  ASSERT_FALSE(old_rank->await_join(60));
  RankLink::Settings settings;
  settings.beat_seconds = 0.002;
  RankLink fresh(door, join_of(0, 3, 2), clock, settings);
  ASSERT_FALSE(fresh.await_join(60));
  EXPECT_TRUE(eventually([&] { return !old_rank->refusal().empty(); }));
  EXPECT_THAT(old_rank->refusal(), HasSubstr("generation 2"));
  EXPECT_EQ(fresh.refusal(), "");
}

}  // namespace
}  // namespace hetmoe
