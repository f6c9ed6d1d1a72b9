// The two phases of a checkpoint.

#include <gmock/gmock.h>

#include "tests/unit/coordinator/run_coordinator_fixture.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr auto kInvalid = CoordinatorFault::kInvalid;

class CheckpointTest : public RunCoordinatorTest {
 protected:
  PrepareReply prepare(int rank, std::int64_t step, const std::string& configuration = "c") {
    return coordinator->prepare_checkpoint(shard_of(rank, step, configuration));
  }
  std::string refusal_of(int rank, std::int64_t step, const std::string& configuration = "c") {
    const auto error = error_of([&] { prepare(rank, step, configuration); });
    if (!error) return "no error";
    EXPECT_EQ(error->fault(), kInvalid);
    return error->what();
  }
};

TEST_F(CheckpointTest, it_is_agreed_when_every_rank_has_prepared_it) {
  join_all(3);
  EXPECT_FALSE(prepare(2, 10).agreed);
  EXPECT_FALSE(prepare(0, 10).agreed);
  EXPECT_EQ(coordinator->status().prepared_step, 10);
  EXPECT_EQ(coordinator->status().prepared_ranks, 2);
  const PrepareReply last = prepare(1, 10);
  EXPECT_TRUE(last.agreed);
  EXPECT_EQ(last.prepared_ranks, 3);
  EXPECT_TRUE(prepare(0, 10).agreed) << "asked again";
}

TEST_F(CheckpointTest, one_rank_that_asks_often_does_not_count_for_the_others) {
  join_all(3);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(prepare(0, 10).prepared_ranks, 1);
  EXPECT_FALSE(prepare(1, 10).agreed);
}

TEST_F(CheckpointTest, it_is_not_agreed_before_all_ranks_have_joined) {
  coordinator->join(join_of(0, 2));
  EXPECT_FALSE(prepare(0, 10).agreed);
  coordinator->join(join_of(1, 2));
  EXPECT_TRUE(prepare(1, 10).agreed);
}

TEST_F(CheckpointTest, another_configuration_is_refused_naming_both) {
  join_all(2);
  prepare(1, 10, "one");
  EXPECT_THAT(refusal_of(0, 10, "two"), AllOf(HasSubstr("rank 0"), HasSubstr("rank 1"),
                                              HasSubstr("\"one\""), HasSubstr("\"two\"")));
  EXPECT_EQ(coordinator->status().prepared_ranks, 1);
}

TEST_F(CheckpointTest, an_earlier_step_is_refused_naming_both) {
  join_all(2);
  prepare(1, 20);
  EXPECT_THAT(refusal_of(0, 10), AllOf(HasSubstr("rank 0"), HasSubstr("step 10"),
                                       HasSubstr("rank 1"), HasSubstr("step 20")));
  EXPECT_THAT(refusal_of(1, 19), HasSubstr("step 20"));
}

TEST_F(CheckpointTest, a_later_step_takes_the_place_of_one_that_came_to_nothing) {
  join_all(2);
  prepare(0, 10);
  EXPECT_FALSE(prepare(1, 20).agreed) << "rank 0 has prepared another";
  EXPECT_TRUE(prepare(0, 20).agreed);
}

TEST_F(CheckpointTest, what_is_committed_is_agreed_and_no_more_prepared) {
  join_all(2);
  prepare(0, 10);
  prepare(1, 10);
  coordinator->commit_checkpoint(commit_of(10));
  const CoordinatorStatus status = coordinator->status();
  EXPECT_EQ(status.committed.step, 10);
  EXPECT_EQ(status.committed.bytes, 128);
  EXPECT_EQ(status.committed.seconds, 0.5);
  EXPECT_EQ(status.committed.wall_seconds, 1.75e9);
  EXPECT_EQ(status.committed.member.generation, 0) << "left empty";
  EXPECT_EQ(status.prepared_step, 0);
  EXPECT_TRUE(prepare(1, 10).agreed);
  EXPECT_EQ(coordinator->status().prepared_step, 0);
  EXPECT_THAT(refusal_of(1, 9), AllOf(HasSubstr("step 9"), HasSubstr("step 10")));
  EXPECT_FALSE(prepare(1, 11).agreed);
}

TEST_F(CheckpointTest, commits_go_forward_and_a_repeat_is_harmless) {
  join_all(2);
  coordinator->commit_checkpoint(commit_of(10));
  CommittedCheckpoint repeat = commit_of(10);
  repeat.bytes = 1;
  coordinator->commit_checkpoint(repeat);
  EXPECT_EQ(coordinator->status().committed.bytes, 128) << "the first one counts";
  EXPECT_EQ(fault_of([&] { coordinator->commit_checkpoint(commit_of(9)); }), kInvalid);
  coordinator->commit_checkpoint(commit_of(20));
  EXPECT_EQ(coordinator->status().committed.step, 20);
  CommittedCheckpoint other = commit_of(30);
  other.member.rank = 1;
  EXPECT_EQ(fault_of([&] { coordinator->commit_checkpoint(other); }), kInvalid);
}

TEST_F(CheckpointTest, a_commit_that_was_made_without_the_coordinator_is_taken) {
  join_all(2);
  prepare(0, 10);
  coordinator->commit_checkpoint(commit_of(10));
  EXPECT_TRUE(prepare(1, 10).agreed);
  prepare(1, 30);
  coordinator->commit_checkpoint(commit_of(20));
  EXPECT_TRUE(prepare(0, 30).agreed) << "what is being saved next goes on";
}

TEST_F(CheckpointTest, a_new_generation_may_commit_again_what_an_earlier_one_had) {
  join_all(1);
  coordinator->commit_checkpoint(commit_of(20));
  coordinator->join(join_of(0, 1, 2));
  PreparedShard shard = shard_of(0, 15);
  shard.member.generation = 2;
  CommittedCheckpoint commit = commit_of(15);
  commit.member.generation = 2;
  EXPECT_TRUE(coordinator->prepare_checkpoint(shard).agreed);
  EXPECT_EQ(coordinator->status().committed.step, 20);
  coordinator->commit_checkpoint(commit);
  EXPECT_EQ(coordinator->status().committed.step, 15) << "20 was damaged and passed over";
}

TEST_F(CheckpointTest, what_an_earlier_generation_committed_is_not_agreed_now) {
  join_all(2);
  coordinator->commit_checkpoint(commit_of(20));
  join_all(2, 2);
  PreparedShard shard = shard_of(0, 20);
  shard.member.generation = 2;
  EXPECT_FALSE(coordinator->prepare_checkpoint(shard).agreed);
}

TEST_F(CheckpointTest, a_restart_keeps_what_is_committed_and_hears_again_what_is_prepared) {
  join_all(2);
  coordinator->commit_checkpoint(commit_of(10));
  prepare(0, 20);
  start_again();
  EXPECT_EQ(coordinator->status().committed.step, 10);
  EXPECT_EQ(coordinator->status().committed.wall_seconds, 1.75e9);
  join_all(2);
  EXPECT_TRUE(prepare(1, 10).agreed);
  EXPECT_FALSE(prepare(1, 20).agreed);
  EXPECT_TRUE(prepare(0, 20).agreed);
}

}  // namespace
}  // namespace hetmoe
