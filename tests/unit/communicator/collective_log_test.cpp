#include "parallel/communicator/collective_log.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace hetmoe {
namespace {

/// Every look is a second later.
class CountingClock final : public Clock {
 public:
  double monotonic_seconds() const override { return static_cast<double>(++looks_); }
  double wall_seconds() const override { return 0; }

 private:
  mutable std::atomic<int> looks_ = 0;
};

class CollectiveLogTest : public testing::Test {
 protected:
  void run(const char* operation, std::int64_t bytes) {
    CollectiveRecord record = log.start(channel, operation, bytes);
    log.begin_wait(record);
    log.end(record);
  }

  CountingClock clock;
  CollectiveLog log{clock};
  CollectiveLog::Channel& channel = log.add_communicator("gradients", 3);
};

TEST_F(CollectiveLogTest, records_what_was_done_in_which_step_and_when) {
  run("barrier", 0);
  log.begin_step(7);
  run("all_reduce", 24);
  const std::vector<CollectiveRecord> records = log.records();
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].step, 0);
  const CollectiveRecord& second = records[1];
  EXPECT_EQ(std::string(second.operation), "all_reduce");
  EXPECT_EQ(second.number, 2);
  EXPECT_EQ(second.sequence, 2);
  EXPECT_EQ(second.bytes, 24);
  EXPECT_EQ(second.step, 7);
  EXPECT_EQ(second.started_seconds, 4);
  EXPECT_EQ(second.wait_began_seconds, 5);
  EXPECT_EQ(second.ended_seconds, 6);
  EXPECT_EQ(log.last_ended_seconds(), 6);
  EXPECT_EQ(log.steps_begun(), 1);
}

TEST_F(CollectiveLogTest, counts_each_communicator_by_itself) {
  CollectiveLog::Channel& other = log.add_communicator("control", 2);
  run("all_reduce", 8);
  run("all_reduce", 8);
  const CollectiveRecord record = log.start(other, "broadcast", 1);
  EXPECT_EQ(record.number, 3);
  EXPECT_EQ(record.sequence, 1);
  EXPECT_EQ(record.communicator, 1);
  const auto states = log.communicators();
  ASSERT_EQ(states.size(), 2U);
  EXPECT_EQ(states[0].name, "gradients");
  EXPECT_EQ(states[0].size, 3);
  EXPECT_EQ(states[0].started, 2);
  EXPECT_EQ(states[1].started, 1);
}

TEST_F(CollectiveLogTest, the_ring_keeps_the_newest_in_order) {
  EXPECT_TRUE(log.records().empty());
  const auto kept = static_cast<std::int64_t>(CollectiveLog::kRecords);
  for (std::int64_t i = 1; i <= kept; ++i) run("all_reduce", i);
  ASSERT_EQ(log.records().size(), CollectiveLog::kRecords);
  EXPECT_EQ(log.records().front().number, 1);
  for (std::int64_t i = 1; i <= 44; ++i) run("all_reduce", kept + i);
  const std::vector<CollectiveRecord> records = log.records();
  ASSERT_EQ(records.size(), CollectiveLog::kRecords);
  for (std::int64_t i = 0; i < kept; ++i) {
    EXPECT_EQ(records[static_cast<std::size_t>(i)].number, 45 + i);
    EXPECT_EQ(records[static_cast<std::size_t>(i)].bytes, 45 + i);
  }
}

TEST_F(CollectiveLogTest, one_that_has_lost_its_place_is_still_waited_for_and_spoils_no_other) {
  CollectiveRecord old = log.start(channel, "reduce_scatter_v", 11);
  for (std::size_t i = 0; i < CollectiveLog::kRecords; ++i) log.start(channel, "broadcast", 5);
  log.begin_wait(old);
  const auto wait = log.open_wait();
  ASSERT_TRUE(wait);
  EXPECT_EQ(wait->number, 1);
  EXPECT_EQ(std::string(wait->operation), "reduce_scatter_v");
  log.end(old);
  for (const CollectiveRecord& record : log.records()) {
    EXPECT_EQ(record.wait_began_seconds, CollectiveRecord::kNever);
    EXPECT_EQ(record.ended_seconds, CollectiveRecord::kNever);
  }
}

TEST_F(CollectiveLogTest, a_wait_is_open_from_its_beginning_to_its_end) {
  EXPECT_FALSE(log.open_wait());
  CollectiveRecord record = log.start(channel, "all_to_all_v", 3);
  EXPECT_FALSE(log.open_wait()) << "started ones may take their time";
  log.begin_wait(record);
  ASSERT_TRUE(log.open_wait());
  EXPECT_EQ(log.open_wait()->wait_began_seconds, record.wait_began_seconds);
  log.end(record);
  EXPECT_FALSE(log.open_wait());
}

const char* name_of(std::int64_t number) {
  static constexpr std::array kNames = {"all_reduce", "broadcast", "barrier"};
  return kNames[static_cast<std::size_t>(number) % kNames.size()];
}

TEST(SharedRecord, a_reader_never_meets_half_a_record) {
  SharedRecord shared;
  EXPECT_FALSE(shared.read());
  std::atomic<bool> ended = false;
  std::thread writer([&] {
    CollectiveRecord record;
    while (!ended) {
      record.sequence = record.bytes = record.step = ++record.number;
      shared.write(record);
    }
  });
  while (!shared.read()) std::this_thread::yield();
  std::int64_t torn = 0;
  std::int64_t last = 0;
  for (int read = 0; read < 2000000; ++read) {
    const auto record = shared.read();
    if (!record) continue;
    const std::int64_t number = record->number;
    torn += record->sequence != number || record->bytes != number || record->step != number;
    torn += number < last;
    last = number;
  }
  ended = true;
  writer.join();
  EXPECT_EQ(torn, 0);
  EXPECT_GT(last, 0);
}

// Every record is written so that its fields follow from its number; a torn one would not.
TEST(CollectiveLog, a_reader_meets_whole_records_while_the_ring_goes_round) {
  const CountingClock clock;
  CollectiveLog log(clock);
  CollectiveLog::Channel& channel = log.add_communicator("control", 2);
  std::atomic<bool> ended = false;
  std::thread writer([&] {
    for (std::int64_t i = 1; i <= 60000; ++i) {
      log.begin_step(i);
      CollectiveRecord record = log.start(channel, name_of(i), i * 7);
      log.begin_wait(record);
      log.end(record);
    }
    ended = true;
  });
  const auto expect_whole = [](const CollectiveRecord& record) {
    ASSERT_EQ(record.bytes, record.number * 7);
    ASSERT_EQ(record.sequence, record.number);
    ASSERT_EQ(record.step, record.number);
    ASSERT_EQ(record.operation, name_of(record.number));
  };
  while (!ended) {
    for (const CollectiveRecord& record : log.records()) expect_whole(record);
    if (const auto wait = log.open_wait()) expect_whole(*wait);
    if (testing::Test::HasFatalFailure()) break;
  }
  writer.join();
  EXPECT_EQ(log.records().back().number, 60000);
}

}  // namespace
}  // namespace hetmoe
