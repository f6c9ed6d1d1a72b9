#include "parallel/communicator/watched_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "core/base/error.h"
#include "parallel/communicator/local_communicator.h"
#include "tests/support/communicator_conformance.h"

namespace hetmoe::test {
namespace {

using testing::ElementsAre;

std::unique_ptr<Communicator> watched_duplicate(Communicator& group, CollectiveLog& log) {
  return watched(group.split(0, group.rank()), log, "traffic");
}

class WatchedConformance : public testing::TestWithParam<std::tuple<std::size_t, int>> {};

TEST_P(WatchedConformance, holds) {
  const auto& [index, ranks] = GetParam();
  const ConformanceCase& one = communicator_conformance_cases()[index];
  run_ranks(ranks, [&](Communicator& group) {
    const SystemClock clock;
    CollectiveLog log(clock);
    one.check(*watched_duplicate(group, log), 6000);
    EXPECT_FALSE(log.open_wait());
    for (const CollectiveRecord& record : log.records())
      EXPECT_NE(record.ended_seconds, CollectiveRecord::kNever) << record.operation;
  });
}

INSTANTIATE_TEST_SUITE_P(
    Cases, WatchedConformance,
    testing::Combine(testing::Range<std::size_t>(0, communicator_conformance_cases().size()),
                     testing::Values(1, 2, 3)),
    [](const auto& context) {
      return std::string(communicator_conformance_cases()[std::get<0>(context.param)].name) +
             "_np" + std::to_string(std::get<1>(context.param));
    });

/// "all_reduce 24": what was done with how many bytes.
std::vector<std::string> operations(const CollectiveLog& log) {
  std::vector<std::string> found;
  for (const CollectiveRecord& record : log.records())
    found.push_back(record.operation + (" " + std::to_string(record.bytes)));
  return found;
}

TEST(WatchedCommunicator, records_every_operation_with_the_bytes_of_this_rank) {
  run_ranks(2, [](Communicator& group) {
    const SystemClock clock;
    CollectiveLog log(clock);
    const auto traffic = watched_duplicate(group, log);
    std::vector<float> six(6, 1.0F);
    std::vector<float> three(3);
    std::vector<std::int64_t> sixteen(2);
    const std::vector<std::int64_t> threes = {3, 3};
    const Buffer values = buffer_of(std::span(six));
    const Buffer part = buffer_of(std::span(three));
    std::vector<float> others(6);
    traffic->all_reduce(values, Reduction::kSum).wait();
    traffic->reduce_scatter_v(values, threes, part).wait();
    traffic->all_gather_v(values, threes).wait();
    traffic->all_to_all_v(values, threes, buffer_of(std::span(others)), threes).wait();
    traffic->broadcast(buffer_of(std::span(sixteen)), 1).wait();
    traffic->barrier();
    EXPECT_THAT(operations(log),
                ElementsAre("all_reduce 24", "reduce_scatter_v 24", "all_gather_v 24",
                            "all_to_all_v 24", "broadcast 16", "barrier 0"));
  });
}

TEST(WatchedCommunicator, what_is_split_off_is_watched_under_a_name_that_its_members_share) {
  run_ranks(4, [](Communicator& group) {
    const SystemClock clock;
    CollectiveLog log(clock);
    const auto traffic = watched_duplicate(group, log);
    traffic->barrier();
    const auto half = traffic->split(group.rank() % 2, 0);
    half->barrier();
    const auto alone = half->split(half->rank(), 0);
    alone->barrier();
    const auto states = log.communicators();
    ASSERT_EQ(states.size(), 2U) << "a group of one waits for nobody";
    EXPECT_EQ(states[0].name, "traffic");
    EXPECT_EQ(states[1].name, "traffic/2." + std::to_string(group.rank() % 2));
    EXPECT_EQ(states[1].size, 2);
    EXPECT_EQ(states[1].started, 2);
  });
}

TEST(WatchedCommunicator, shows_what_a_rank_waits_for_while_its_peer_stays_away) {
  std::atomic<bool> seen = false;
  run_ranks(2, [&](Communicator& group) {
    const SystemClock clock;
    CollectiveLog log(clock);
    const auto traffic = watched_duplicate(group, log);
    std::vector<double> values(5);
    if (group.rank() == 0) {
      std::thread onlooker([&] {
        while (!log.open_wait()) std::this_thread::yield();
        EXPECT_EQ(std::string(log.open_wait()->operation), "all_reduce");
        EXPECT_EQ(log.open_wait()->bytes, 40);
        seen = true;
      });
      traffic->all_reduce(buffer_of(std::span(values)), Reduction::kSum).wait();
      onlooker.join();
      EXPECT_FALSE(log.open_wait());
    } else {
      while (!seen) std::this_thread::yield();
      traffic->all_reduce(buffer_of(std::span(values)), Reduction::kSum).wait();
    }
  });
}

TEST(WatchedCommunicator, an_operation_that_nobody_waited_for_is_waited_for_at_its_end) {
  std::atomic<bool> seen = false;
  run_ranks(2, [&](Communicator& group) {
    const SystemClock clock;
    CollectiveLog log(clock);
    const auto traffic = watched_duplicate(group, log);
    std::vector<double> values(5);
    if (group.rank() == 0) {
      std::thread onlooker([&] {
        while (!log.open_wait()) std::this_thread::yield();
        seen = true;
      });
      {
        const Pending dropped = traffic->all_reduce(buffer_of(std::span(values)), Reduction::kSum);
      }
      onlooker.join();
      EXPECT_NE(log.records().back().ended_seconds, CollectiveRecord::kNever);
    } else {
      while (!seen) std::this_thread::yield();
      traffic->all_reduce(buffer_of(std::span(values)), Reduction::kSum).wait();
    }
  });
}

TEST(WatchedCommunicator, a_failed_wait_is_over_and_its_error_arrives) {
  const auto body = [](Communicator& group) {
    const SystemClock clock;
    CollectiveLog log(clock);
    const auto traffic = watched_duplicate(group, log);
    if (group.rank() == 1) throw std::runtime_error("lost");
    EXPECT_THROW(traffic->barrier(), CommunicationError);
    EXPECT_FALSE(log.open_wait());
  };
  EXPECT_THROW(run_ranks(2, body), std::runtime_error);
}

}  // namespace
}  // namespace hetmoe::test
