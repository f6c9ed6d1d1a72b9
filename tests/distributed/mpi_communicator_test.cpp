#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>

#include "core/base/error.h"
#include "parallel/communicator/rank_hosts.h"
#include "parallel/communicator/watched_communicator.h"
#include "tests/support/communicator_conformance.h"
#include "tests/support/conformance_values.h"
#include "tests/support/mpi_world.h"

namespace hetmoe::test {
namespace {

class MpiConformance : public testing::TestWithParam<std::size_t> {};

TEST_P(MpiConformance, holds) {
  communicator_conformance_cases()[GetParam()].check(test_world(), 200003);
}

// Seven bytes a message: elements are cut in the middle and put together again.
TEST_P(MpiConformance, holds_when_messages_are_split) {
  const std::unique_ptr<Communicator> group = test_runtime().world(7);
  communicator_conformance_cases()[GetParam()].check(*group, 1025);
}

TEST_P(MpiConformance, holds_when_it_is_watched) {
  const SystemClock clock;
  CollectiveLog log(clock);
  const auto group = watched(test_world().split(0, test_world().rank()), log, "watched");
  communicator_conformance_cases()[GetParam()].check(*group, 200003);
  EXPECT_FALSE(log.open_wait());
}

INSTANTIATE_TEST_SUITE_P(Cases, MpiConformance,
                         testing::Range<std::size_t>(0, communicator_conformance_cases().size()),
                         [](const auto& context) {
                           return std::string(communicator_conformance_cases()[context.param].name);
                         });

TEST(MpiCommunicator, reductions_of_bf16_are_a_broken_invariant) {
  std::vector<BFloat16Bits> values(4);
  EXPECT_THROW(test_world().all_reduce(buffer_of_values(values), Reduction::kSum).wait(),
               InternalError);
}

TEST(MpiCommunicator, a_message_that_is_too_long_is_an_error_with_the_operation_and_rank) {
  Communicator& world = test_world();
  if (world.size() < 2) GTEST_SKIP() << "needs two ranks";
  const std::unique_ptr<Communicator> group = world.split(0, world.rank());
  // Ranks 0 and 1 disagree: rank 0 sends 8 bytes where rank 1 expects 4.
  std::vector<std::int64_t> counts(static_cast<std::size_t>(group->size()), 0);
  std::vector<std::int64_t> none = counts;
  std::vector<std::uint8_t> memory(8);
  std::string message;
  if (group->rank() == 0) {
    counts[1] = 8;
    group->all_to_all_v(const_buffer_of_values(memory), counts, {nullptr, 0, DataType::kByte}, none)
        .wait();
  } else if (group->rank() == 1) {
    counts[0] = 4;
    try {
      group
          ->all_to_all_v({nullptr, 0, DataType::kByte}, none, {memory.data(), 4, DataType::kByte},
                         counts)
          .wait();
    } catch (const CommunicationError& error) {
      message = error.what();
    }
    EXPECT_THAT(message, testing::AllOf(testing::HasSubstr("all_to_all_v (operation 1)"),
                                        testing::HasSubstr("rank 1 of"),
                                        testing::HasSubstr("MPI_ERR_TRUNCATE")));
  }
  world.barrier();
}

TEST(MpiRuntime, all_ranks_of_this_test_share_the_host) {
  EXPECT_THAT(hosts_of_ranks(test_world()), testing::Each(0));
  EXPECT_TRUE(MpiRuntime::is_launched());
}

}  // namespace
}  // namespace hetmoe::test
