#include "runtime/coordinator/rank_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/coordinator/coordinator_test_support.h"
#include "tests/unit/coordinator/scripted_coordinator.h"

namespace hetmoe {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

/// A link whose beats come as fast as its thread can, to a coordinator that takes everything.
class RankLinkTest : public testing::Test {
 protected:
  std::unique_ptr<RankLink> link_of(int rank, double beat_seconds = 0.002) {
    RankLink::Settings settings;
    settings.beat_seconds = beat_seconds;
    return std::make_unique<RankLink>(coordinator, join_of(rank, 2, 0), clock, settings);
  }
  bool await_beats(std::size_t more) {
    const std::size_t wanted = coordinator.beats().size() + more;
    return eventually([&] { return coordinator.beats().size() >= wanted; });
  }
  bool await_first_beat() {
    return eventually([&] { return !coordinator.beats().empty(); });
  }
  static StepRecord record_of(std::int64_t step) { return step_of(step).record; }

  ScriptedCoordinator coordinator;
  HandClock clock;
};

TEST_F(RankLinkTest, it_joins_by_itself_and_goes_by_the_generation_that_it_was_given) {
  const auto link = link_of(1);
  EXPECT_FALSE(link->await_join(60));
  ASSERT_TRUE(await_beats(1));
  EXPECT_EQ(coordinator.calls().front(), "join 0");
  EXPECT_EQ(coordinator.beats().back().member.generation, 3);
  EXPECT_EQ(coordinator.beats().back().member.run, "tiny-a");
  EXPECT_EQ(coordinator.beats().back().member.rank, 1);
  EXPECT_THAT(link->take_notes(), IsEmpty());
  EXPECT_EQ(link->refusal(), "");
}

TEST_F(RankLinkTest, beats_say_what_training_and_the_collectives_are_at) {
  RankLink::Settings settings;
  settings.beat_seconds = 0.002;
  RankLink link(coordinator, join_of(0, 1), clock, settings,
                [] { return std::pair<std::int64_t, std::string>(77, "broadcast"); });
  Heartbeat progress;
  progress.step = 12;
  progress.phase = "evaluating";
  progress.memory_bytes = 4096;
  progress.member.run = "somebody else";
  progress.executed_command = 5;
  link.progress(progress);
  ASSERT_TRUE(eventually([&] {
    const auto beats = coordinator.beats();
    return !beats.empty() && beats.back().step == 12;
  }));
  const Heartbeat beat = coordinator.beats().back();
  EXPECT_EQ(beat.phase, "evaluating");
  EXPECT_EQ(beat.memory_bytes, 4096);
  EXPECT_EQ(beat.collective_sequence, 77);
  EXPECT_EQ(beat.collective, "broadcast");
  EXPECT_EQ(beat.member.run, "tiny-a");
  EXPECT_EQ(beat.executed_command, 0) << "only executed() tells";
}

TEST_F(RankLinkTest, steps_are_reported_in_order_and_at_the_end_all_of_them) {
  {
    const auto link = link_of(0, 600);
    for (std::int64_t step = 1; step <= 50; ++step) link->report(record_of(step));
  }
  const auto steps = coordinator.steps();
  ASSERT_EQ(steps.size(), 50u);
  for (std::size_t i = 0; i < steps.size(); ++i) EXPECT_EQ(steps[i], static_cast<int>(i) + 1);
}

TEST_F(RankLinkTest, a_step_does_not_wait_for_the_next_beat) {
  const auto link = link_of(0, 600);
  ASSERT_FALSE(link->await_join(60));
  ASSERT_TRUE(await_first_beat());
  link->report(record_of(1));
  EXPECT_TRUE(eventually([&] { return coordinator.steps().size() == 1; }));
  EXPECT_EQ(coordinator.beats().size(), 1u);
}

TEST_F(RankLinkTest, a_prepared_shard_may_be_committed_once_it_is_agreed) {
  coordinator.set_agreed(false);
  const auto link = link_of(1);
  EXPECT_FALSE(link->may_commit()) << "nothing is prepared";
  link->prepared(10, "c", {});
  ASSERT_TRUE(eventually([&] { return coordinator.count("prepare 10") >= 3; })) << "it asks again";
  EXPECT_FALSE(link->may_commit());
  coordinator.set_agreed(true);
  EXPECT_TRUE(eventually([&] { return link->may_commit(); }));
  const auto asked = coordinator.count("prepare");
  ASSERT_TRUE(await_beats(3));
  EXPECT_EQ(coordinator.count("prepare"), asked) << "agreed is agreed";
  link->prepared(20, "c", {});
  EXPECT_TRUE(eventually([&] { return coordinator.count("prepare 20") == 1; }));
}

TEST_F(RankLinkTest, an_answer_about_an_earlier_checkpoint_is_none_about_this_one) {
  const auto link = link_of(1, 600);
  ASSERT_FALSE(link->await_join(60));
  coordinator.hold("prepare");
  link->prepared(10, "c", {});
  ASSERT_TRUE(eventually([&] { return coordinator.count("prepare 10") == 1; }));
  link->prepared(20, "c", {});
  coordinator.fail("prepare", {});
  coordinator.set_agreed(true);
  coordinator.release();
  EXPECT_TRUE(eventually([&] { return coordinator.count("prepare 20") == 1; }));
  EXPECT_TRUE(eventually([&] { return link->may_commit(); }));

  coordinator.hold("prepare");
  link->prepared(30, "c", {});
  ASSERT_TRUE(eventually([&] { return coordinator.count("prepare 30") == 1; }));
  link->discard_prepared();
  link->prepared(30, "c", {});
  coordinator.set_agreed(false);
  coordinator.release();
  ASSERT_TRUE(eventually([&] { return coordinator.count("prepare 30") == 2; }));
  EXPECT_FALSE(link->may_commit());
}

TEST_F(RankLinkTest, a_refusal_of_what_nobody_asks_any_more_is_none) {
  const auto link = link_of(1, 600);
  ASSERT_FALSE(link->await_join(60));
  coordinator.hold("prepare");
  coordinator.fail("prepare", {CoordinatorFault::kInvalid});
  link->prepared(10, "c", {});
  ASSERT_TRUE(eventually([&] { return coordinator.count("prepare 10") == 1; }));
  link->prepared(20, "c", {});
  coordinator.release();
  EXPECT_TRUE(eventually([&] { return link->may_commit(); }));
  EXPECT_EQ(link->refusal(), "");
}

TEST_F(RankLinkTest, what_is_discarded_or_committed_is_asked_about_no_more) {
  coordinator.set_agreed(false);
  const auto link = link_of(0);
  link->prepared(10, "c", {});
  ASSERT_TRUE(eventually([&] { return coordinator.count("prepare") >= 1; }));
  link->discard_prepared();
  ASSERT_TRUE(await_beats(2));
  const auto asked = coordinator.count("prepare");
  ASSERT_TRUE(await_beats(3));
  EXPECT_EQ(coordinator.count("prepare"), asked);
  EXPECT_FALSE(link->may_commit());

  link->prepared(20, "c", {});
  link->committed(commit_of(20));
  EXPECT_FALSE(link->may_commit()) << "it has been";
  EXPECT_TRUE(eventually([&] { return coordinator.commits().size() == 1; }));
  EXPECT_THAT(coordinator.commits(), ElementsAre(20));
  ASSERT_TRUE(await_beats(2));
  EXPECT_EQ(coordinator.count("commit"), 1) << "heard is heard";
}

TEST_F(RankLinkTest, a_command_is_given_once_however_often_it_is_told) {
  const auto link = link_of(0);
  coordinator.set_commands({{.number = 4, .kind = CommandKind::kSave}});
  std::vector<AcceptedCommand> taken;
  ASSERT_TRUE(eventually([&] { return !(taken = link->take_commands()).empty(); }));
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].number, 4);
  coordinator.set_commands(
      {{.number = 4, .kind = CommandKind::kSave}, {.number = 5, .kind = CommandKind::kStop}});
  ASSERT_TRUE(eventually([&] { return !(taken = link->take_commands()).empty(); }));
  ASSERT_EQ(taken.size(), 1u);
  EXPECT_EQ(taken[0].number, 5);
  EXPECT_EQ(taken[0].kind, CommandKind::kStop);
  ASSERT_TRUE(await_beats(3));
  EXPECT_THAT(link->take_commands(), IsEmpty());
}

TEST_F(RankLinkTest, an_execution_is_told_at_once_and_in_every_later_beat) {
  const auto link = link_of(0, 600);
  ASSERT_FALSE(link->await_join(60));
  ASSERT_TRUE(await_first_beat());
  link->executed({.number = 4, .kind = CommandKind::kSave}, 120);
  ASSERT_TRUE(eventually([&] { return coordinator.beats().back().executed_command == 4; }));
  EXPECT_EQ(coordinator.beats().back().executed_step, 120);
  link->executed({.number = 3, .kind = CommandKind::kSave}, 130);
  link->progress({.step = 131});
  link->executed({.number = 6, .kind = CommandKind::kStop}, 131);
  ASSERT_TRUE(eventually([&] { return coordinator.beats().back().executed_command == 6; }));
  EXPECT_EQ(coordinator.beats().back().executed_step, 131);
  EXPECT_EQ(coordinator.beats().back().step, 131);
}

TEST_F(RankLinkTest, another_rank_than_0_reports_no_steps_commits_or_executions) {
  {
    const auto link = link_of(1);
    link->report(record_of(1));
    link->committed(commit_of(1));
    link->executed({.number = 1}, 1);
    ASSERT_TRUE(await_beats(2));
  }
  EXPECT_THAT(coordinator.steps(), IsEmpty());
  EXPECT_THAT(coordinator.commits(), IsEmpty());
  EXPECT_EQ(coordinator.beats().back().executed_command, 0);
}

TEST_F(RankLinkTest, the_end_says_once_what_is_left_to_say) {
  {
    const auto link = link_of(0, 600);
    ASSERT_FALSE(link->await_join(60));
    ASSERT_TRUE(await_first_beat());
    coordinator.hold("step");
    link->report(record_of(1));
    ASSERT_TRUE(eventually([&] { return coordinator.count("step") == 1; }));
    link->report(record_of(2));
    link->committed(commit_of(2));
    link->executed({.number = 7}, 2);
    coordinator.release();
  }
  EXPECT_THAT(coordinator.steps(), ElementsAre(1, 2));
  EXPECT_THAT(coordinator.commits(), ElementsAre(2));
  EXPECT_EQ(coordinator.beats().back().executed_command, 7);
}

TEST_F(RankLinkTest, it_may_be_asked_from_training_while_its_thread_works) {
  const auto link = link_of(0, 0.001);
  for (std::int64_t step = 1; step <= 300; ++step) {
    link->progress({.step = step, .phase = "training"});
    link->report(record_of(step));
    if (step % 10 == 0) link->prepared(step, "c", {});
    if (step % 30 == 0) link->discard_prepared();
    if (step % 50 == 0) link->committed(commit_of(step));
    link->executed({.number = step}, step);
    (void)link->may_commit();
    (void)link->take_commands();
    (void)link->take_notes();
    (void)link->refusal();
    clock.now += 0.1;
  }
  EXPECT_TRUE(eventually([&] { return coordinator.steps().size() == 300; }));
}

}  // namespace
}  // namespace hetmoe
