#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <observed_nccl.h>

#include <string>

#include "parallel/communicator/watched_communicator.h"
#include "tests/distributed/nccl_exchanges.h"
#include "tests/support/communicator_conformance.h"

namespace hetmoe::test {
namespace {

class NcclConformance : public testing::TestWithParam<std::size_t> {};

TEST_P(NcclConformance, holds) {
  NcclWorld world;
  communicator_conformance_cases()[GetParam()].check(world.placed(), 70001);
}

// One peer at a time, and reductions of 64 bytes at a time.
TEST_P(NcclConformance, holds_with_small_groups_and_chunks) {
  const GroupLimit limit(2);
  NcclWorld world({.peers_in_a_group = 1, .scratch_bytes = 64 * test_world().size()});
  communicator_conformance_cases()[GetParam()].check(world.placed(), 1025);
}

INSTANTIATE_TEST_SUITE_P(Cases, NcclConformance,
                         testing::Range<std::size_t>(0, communicator_conformance_cases().size()),
                         [](const auto& context) {
                           return std::string(communicator_conformance_cases()[context.param].name);
                         });

TEST(NcclCommunicator, streams_are_those_that_the_caller_computes_on_at_the_start_and_at_the_wait) {
  const gpu::OwnedStream first, second;
  gpu::Stream current = first.get();
  DeviceGroups groups(60);
  const auto group = make_nccl_communicator(
      test_world().split(0, test_world().rank()),
      {.compute_stream = [&] { return current; }, .groups = &groups, .scratch_bytes = 1 << 16});
  std::vector<float> host = {1.5F, static_cast<float>(group->rank())};
  const gpu::DeviceMemory memory(2 * sizeof(float));
  gpu::copy_to_device(memory.get(), host.data(), memory.size_bytes(), first.get());
  Pending pending = group->all_reduce({memory.get(), 2, DataType::kFloat32}, Reduction::kMax);
  current = second.get();
  pending.wait();
  gpu::copy_to_host(host.data(), memory.get(), memory.size_bytes(), second.get());
  gpu::wait_for(second.get());
  EXPECT_THAT(host, testing::ElementsAre(1.5F, static_cast<float>(group->size() - 1)));
}

TEST(NcclCommunicator, sums_have_the_bits_that_they_have_over_mpi) {
  NcclWorld world({.scratch_bytes = 4096 * test_world().size()});
  Communicator& host = test_world();
  for (const std::int64_t count : {1, 1000, 4095, 20001}) {
    std::vector<float> expected = values_of<float>(3, host.rank(), count);
    Placed<float> values(world.placed(), expected);
    host.all_reduce(buffer_of_values(expected), Reduction::kSum).wait();
    world.group().all_reduce(values.buffer(), Reduction::kSum).wait();
    EXPECT_TRUE(same_bits(values.values(), expected)) << count;
  }
}

TEST(NcclCommunicator, one_that_goes_waits_for_what_it_has_started) {
  NcclWorld world;
  AllToAll exchange(world, 4);
  exchange.start().wait();
  world.leave();
  EXPECT_EQ(exchange.received(), exchange.expected());
}

TEST(NcclCommunicator, a_collective_that_has_ended_stays_so_whatever_comes_after) {
  NcclWorld world;
  AllToAll first(world, 5), second(world, 6);
  Pending ended = first.start();
  while (!ended.done()) world.group().progress();
  world.group().progress();
  const bool is_last = world.group().rank() == world.group().size() - 1;
  if (is_last) world.group().barrier();
  Pending unmet = second.start();
  Pending last = second.start();
  EXPECT_TRUE(ended.done()) << "its event is not another one's yet";
  if (!is_last) world.group().barrier();
  unmet.wait();
  last.wait();
  EXPECT_EQ(first.received(), first.expected());
  EXPECT_EQ(second.received(), second.expected());
}

TEST(NcclCommunicator, its_collectives_can_be_watched) {
  NcclWorld world;
  const SystemClock clock;
  CollectiveLog log(clock);
  const auto group = watched(world.group().split(0, world.group().rank()), log, "watched");
  EXPECT_EQ(group->memory(), MemoryKind::kDevice);
  Placed<float> value(world.placed(), {1.0F});
  group->all_reduce(value.buffer(), Reduction::kSum).wait();
  EXPECT_EQ(value.values()[0], static_cast<float>(group->size()));
  EXPECT_EQ(log.records().size(), group->size() > 1 ? 1U : 0U);
}

}  // namespace
}  // namespace hetmoe::test
