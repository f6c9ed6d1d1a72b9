#include "runtime/watchdog/deadline.h"

#include <gtest/gtest.h>

#include <string>

namespace hetmoe {
namespace {

class HandClock final : public Clock {
 public:
  double monotonic_seconds() const override { return now; }
  double wall_seconds() const override { return now; }

  double now = 1000;
};

class DeadlineTest : public testing::Test {
 protected:
  /// Looks once a second; gives what expired, and when.
  std::optional<ExpiredWait> look_for(double seconds) {
    std::optional<ExpiredWait> expired;
    for (const double end = clock.now + seconds; clock.now < end && !expired;) {
      clock.now += 1;
      expired = check.look();
    }
    return expired;
  }

  CollectiveRecord wait_for(const char* operation) {
    CollectiveRecord record = log.start(channel, operation, 8);
    log.begin_wait(record);
    return record;
  }

  HandClock clock;
  CollectiveLog log{clock};
  CollectiveLog::Channel& channel = log.add_communicator("control", 2);
  DeadlineCheck check{log, {.first_seconds = 600, .seconds = 30}};
};

TEST_F(DeadlineTest, a_wait_expires_once_it_is_longer_than_its_deadline) {
  log.begin_step(1);
  log.begin_step(2);
  EXPECT_FALSE(look_for(1000)) << "nobody waits";
  wait_for("all_gather_v");
  const double began = clock.now;
  EXPECT_FALSE(look_for(30));
  const auto expired = look_for(2);
  ASSERT_TRUE(expired);
  EXPECT_EQ(std::string(expired->record.operation), "all_gather_v");
  EXPECT_EQ(expired->record.step, 2);
  EXPECT_DOUBLE_EQ(expired->waited_seconds, clock.now - began);
  EXPECT_EQ(expired->deadline_seconds, 30);
  EXPECT_FALSE(expired->first);
}

TEST_F(DeadlineTest, the_first_step_has_a_deadline_of_its_own) {
  wait_for("broadcast");
  EXPECT_FALSE(look_for(599));
  log.begin_step(41);  // a run that goes on from step 40
  EXPECT_FALSE(look_for(1));
  const auto expired = look_for(2);
  ASSERT_TRUE(expired);
  EXPECT_TRUE(expired->first);
  EXPECT_EQ(expired->deadline_seconds, 600);
}

TEST_F(DeadlineTest, each_wait_counts_from_its_own_beginning) {
  log.begin_step(1);
  log.begin_step(2);
  for (int i = 0; i < 10; ++i) {
    CollectiveRecord record = wait_for("all_reduce");
    EXPECT_FALSE(look_for(20));
    log.end(record);
  }
  EXPECT_FALSE(look_for(40));
}

TEST_F(DeadlineTest, a_job_that_was_stopped_and_continued_has_not_waited) {
  log.begin_step(1);
  log.begin_step(2);
  wait_for("all_reduce");
  EXPECT_FALSE(look_for(10));
  clock.now += 3600;
  EXPECT_FALSE(check.look());
  EXPECT_FALSE(look_for(10));
  EXPECT_TRUE(look_for(20)) << "it is not forgotten either";
}

TEST_F(DeadlineTest, a_pause_does_not_use_up_a_short_deadline_either) {
  log.begin_step(1);
  log.begin_step(2);
  DeadlineCheck three(log, {.first_seconds = 600, .seconds = 3});
  wait_for("all_reduce");
  clock.now += 0.3;
  EXPECT_FALSE(three.look());
  clock.now += 9;
  EXPECT_FALSE(three.look());
}

TEST(CollectiveDeadlines, the_shortest_is_of_those_that_are_set) {
  EXPECT_EQ((CollectiveDeadlines{600, 120}.shortest_seconds()), 120);
  EXPECT_EQ((CollectiveDeadlines{600, 0}.shortest_seconds()), 600);
  EXPECT_EQ((CollectiveDeadlines{0, 120}.shortest_seconds()), 120);
  EXPECT_EQ((CollectiveDeadlines{0, 0}.shortest_seconds()), 0);
}

TEST_F(DeadlineTest, zero_is_no_deadline) {
  DeadlineCheck never(log, {.first_seconds = 0, .seconds = 0});
  wait_for("all_reduce");
  for (int i = 0; i < 3000; ++i) {
    clock.now += 1;
    ASSERT_FALSE(never.look());
  }
}

}  // namespace
}  // namespace hetmoe
