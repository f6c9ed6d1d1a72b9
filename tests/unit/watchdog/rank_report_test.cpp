#include "runtime/watchdog/rank_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

class TwoClocks final : public Clock {
 public:
  double monotonic_seconds() const override { return now; }
  double wall_seconds() const override { return now + 1e9; }

  double now = 50;
};

class RankReportTest : public testing::Test {
 protected:
  RankReportTest() {
    log.begin_step(12);
    CollectiveRecord first = log.start(channel, "barrier", 0);
    log.begin_wait(first);
    clock.now = 51;
    log.end(first);
    clock.now = 52;
    second = log.start(channel, "all_to_all_v", 640);
  }

  TwoClocks clock;
  CollectiveLog log{clock};
  CollectiveLog::Channel& channel = log.add_communicator("dispatch", 4);
  CollectiveRecord second;
  const RankIdentity identity{2, 4, 3};
  const TemporaryFolder folder;
};

TEST_F(RankReportTest, says_what_the_rank_waits_for_and_survives_its_file) {
  log.begin_wait(second);
  clock.now = 60;
  folder.write("rank-2.json", report_json(report_of(log, identity), log));
  const auto read = read_report(folder.path(), identity);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->identity.rank, 2);
  EXPECT_EQ(read->step, 12);
  ASSERT_TRUE(read->wait);
  EXPECT_EQ(read->wait->communicator, "dispatch");
  EXPECT_EQ(read->wait->operation, "all_to_all_v");
  EXPECT_EQ(read->wait->sequence, 2);
  EXPECT_EQ(read->wait->step, 12);
  EXPECT_EQ(read->wait->waited_seconds, 8);
  ASSERT_EQ(read->communicators.size(), 1U);
  EXPECT_EQ(read->communicators[0].size, 4);
  EXPECT_EQ(read->communicators[0].started, 2);
}

TEST_F(RankReportTest, a_rank_that_computes_says_since_when) {
  clock.now = 60;
  const auto read = parse_report(report_json(report_of(log, identity), log));
  ASSERT_TRUE(read);
  EXPECT_FALSE(read->wait);
  EXPECT_EQ(read->idle_seconds, 9);
}

TEST_F(RankReportTest, holds_the_records_with_times_since_1970) {
  log.begin_wait(second);
  const auto json = nlohmann::json::parse(report_json(report_of(log, identity), log));
  const auto& records = json.at("collectives");
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].at("operation"), "barrier");
  EXPECT_EQ(records[0].at("started_unix_seconds"), 1e9 + 50);
  EXPECT_EQ(records[0].at("ended_unix_seconds"), 1e9 + 51);
  EXPECT_EQ(records[1].at("communicator"), "dispatch");
  EXPECT_EQ(records[1].at("bytes"), 640);
  EXPECT_EQ(records[1].at("wait_began_unix_seconds"), 1e9 + 52);
  EXPECT_TRUE(records[1].at("ended_unix_seconds").is_null());
}

TEST_F(RankReportTest, a_rank_without_collectives_reports_too) {
  const CollectiveLog empty(clock);
  const auto read = parse_report(report_json(report_of(empty, identity), empty));
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->communicators.empty());
}

TEST_F(RankReportTest, other_generations_worlds_and_damaged_files_are_none) {
  const std::string good = report_json(report_of(log, identity), log);
  folder.write("rank-2.json", good);
  EXPECT_TRUE(read_report(folder.path(), identity));
  EXPECT_FALSE(read_report(folder.path(), {2, 4, 4}));
  EXPECT_FALSE(read_report(folder.path(), {2, 5, 3}));
  EXPECT_FALSE(read_report(folder.path(), {1, 4, 3})) << "no file";
  folder.write("rank-1.json", good);
  EXPECT_FALSE(read_report(folder.path(), {1, 4, 3})) << "of another rank";
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("null"), std::string("{\"rank\": \"two\"}"),
        good.substr(0, good.size() / 2), std::string(5 << 20, ' ') + good}) {
    folder.write("rank-2.json", text);
    EXPECT_FALSE(read_report(folder.path(), identity)) << text.substr(0, 40);
  }
}

}  // namespace
}  // namespace hetmoe
