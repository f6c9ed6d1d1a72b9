#include "parallel/communicator/local_communicator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Buffer buffer(std::vector<float>& values) { return buffer_of(std::span(values)); }

// Runs two ranks and gives the message of the first cause.
std::string failure_of(int size, const std::function<void(Communicator&)>& body) {
  try {
    run_ranks(size, body);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no failure";
}

TEST(RunRanks, every_rank_runs_once) {
  std::array<std::atomic<int>, 5> runs{};
  run_ranks(5, [&](Communicator& group) { ++runs[static_cast<std::size_t>(group.rank())]; });
  for (const auto& count : runs) EXPECT_EQ(count, 1);
}

TEST(RunRanks, rethrows_the_first_cause_and_wakes_peers_with_it) {
  std::array<std::string, 3> seen;
  const auto body = [&](Communicator& group) {
    if (group.rank() == 1) throw std::invalid_argument("no such shard");
    try {
      group.barrier();
    } catch (const CommunicationError& error) {
      seen[static_cast<std::size_t>(group.rank())] = error.what();
      throw;
    }
  };
  EXPECT_THROW(run_ranks(3, body), std::invalid_argument);
  EXPECT_EQ(seen[0], "peer rank 1 failed: no such shard");
  EXPECT_EQ(seen[2], "peer rank 1 failed: no such shard");
}

TEST(RunRanks, a_rank_that_fails_wakes_peers_in_other_groups) {
  const std::string message = failure_of(4, [](Communicator& group) {
    const auto pair = group.split(group.rank() / 2, 0);
    if (group.rank() == 3) throw std::runtime_error("lost");
    pair->barrier();
    group.barrier();
  });
  EXPECT_EQ(message, "lost");
}

TEST(RunRanks, an_exception_with_an_operation_under_way_does_not_hang) {
  const std::string message = failure_of(3, [](Communicator& group) {
    std::vector<float> values(100, 1.0F);
    const Pending pending = group.all_reduce(buffer(values), Reduction::kSum);
    if (group.rank() == 0) throw std::runtime_error("thrown with a Pending alive");
    group.barrier();
  });
  EXPECT_EQ(message, "thrown with a Pending alive");
}

TEST(RunRanks, a_rank_that_returns_early_is_named) {
  EXPECT_THAT(failure_of(2,
                         [](Communicator& group) {
                           if (group.rank() == 0) group.barrier();
                         }),
              HasSubstr("peer rank 1 ended without joining operation 1"));
}

TEST(RunRanks, abort_wakes_peers_and_says_why) {
  std::string seen;
  const auto body = [&](Communicator& group) {
    if (group.rank() == 1) group.abort("disk full", 3);
    try {
      group.barrier();
    } catch (const CommunicationError& error) {
      seen = error.what();
      throw;
    }
  };
  EXPECT_THAT(failure_of(2, body),
              AllOf(HasSubstr("rank 1"), HasSubstr("disk full"), HasSubstr("3")));
  EXPECT_THAT(seen, AllOf(HasSubstr("peer rank 1 failed"), HasSubstr("disk full")));
}

TEST(LocalCommunicator, different_operations_are_named_on_every_rank) {
  std::atomic<int> told = 0;
  const auto body = [&](Communicator& group) {
    std::vector<float> values(4);
    group.barrier();
    try {
      if (group.rank() == 0)
        group.all_reduce(buffer(values), Reduction::kSum).wait();
      else
        group.broadcast(buffer(values), 0).wait();
    } catch (const CommunicationError&) {
      ++told;
      throw;
    }
  };
  EXPECT_THAT(failure_of(2, body),
              AllOf(HasSubstr("operation 2"), HasSubstr("rank 0 calls all_reduce"),
                    HasSubstr("rank 1 calls broadcast")));
  EXPECT_EQ(told, 2);
}

TEST(LocalCommunicator, different_counts_and_types_are_named) {
  const auto count_differs = [](Communicator& group) {
    std::vector<float> values(group.rank() == 2 ? 5 : 4);
    group.all_reduce(buffer(values), Reduction::kSum).wait();
  };
  EXPECT_THAT(failure_of(3, count_differs), AllOf(HasSubstr("rank 0 calls all_reduce"),
                                                  HasSubstr("count 4"), HasSubstr("count 5")));
  const auto type_differs = [](Communicator& group) {
    std::array<double, 4> memory{};
    const auto type = group.rank() == 0 ? DataType::kFloat32 : DataType::kFloat64;
    group.broadcast({memory.data(), 4, type}, 0).wait();
  };
  EXPECT_THAT(failure_of(2, type_differs), HasSubstr("does not match"));
}

TEST(LocalCommunicator, all_to_all_counts_that_do_not_meet_are_named) {
  EXPECT_THAT(
      failure_of(
          2,
          [](Communicator& group) {
            std::vector<float> send(2), receive(3);
            const std::array<std::int64_t, 2> send_counts = {1, 1};
            const std::array<std::int64_t, 2> receive_counts = {1, 2};
            group.all_to_all_v(buffer(send), send_counts, buffer(receive), receive_counts).wait();
          }),
      HasSubstr("all_to_all_v: rank 1 sends 1 elements to rank 0, which expects 2"));
}

}  // namespace
}  // namespace hetmoe
