#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/error.h"
#include "core/gpu/devices.h"
#include "parallel/communicator/device_choice.h"
#include "parallel/communicator/watched_communicator.h"
#include "tests/distributed/nccl_world.h"
#include "tests/emulation/device_memory.h"
#include "tests/emulation/nccl.h"
#include "tests/emulation/streams.h"
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
  emulation::limit_group_operations(2);
  NcclWorld world({.peers_in_a_group = 1, .scratch_bytes = 64 * test_world().size()});
  communicator_conformance_cases()[GetParam()].check(world.placed(), 1025);
  emulation::limit_group_operations(2048);
}

INSTANTIATE_TEST_SUITE_P(Cases, NcclConformance,
                         testing::Range<std::size_t>(0, communicator_conformance_cases().size()),
                         [](const auto& context) {
                           return std::string(communicator_conformance_cases()[context.param].name);
                         });

/// Values that every rank sends to every rank, in equal parts, and what comes back.
class AllToAll {
 public:
  AllToAll(NcclWorld& world, int seed)
      : world_(world),
        counts_(static_cast<std::size_t>(world.group().size()), kPart),
        send_(world.placed(), values(seed, world.group().rank())),
        receive_(room_for<float>(world.placed(), kPart * world.group().size())) {
    const int size = world.group().size();
    for (int peer = 0; peer < size; ++peer) {
      const std::vector<float> all = values(seed, peer);
      const auto begin = all.begin() + kPart * world.group().rank();
      expected_.insert(expected_.end(), begin, begin + kPart);
    }
  }
  Pending start() {
    return world_.group().all_to_all_v(send_.buffer(), counts_, receive_.buffer(), counts_);
  }
  std::vector<float> received() const { return receive_.values(); }
  const std::vector<float>& expected() const { return expected_; }

 private:
  static constexpr std::int64_t kPart = 100;
  std::vector<float> values(int seed, int rank) const {
    return values_of<float>(seed, rank, kPart * world_.group().size());
  }

  NcclWorld& world_;
  std::vector<std::int64_t> counts_;
  Placed<float> send_;
  Placed<float> receive_;
  std::vector<float> expected_;
};

TEST(NcclCommunicator, the_host_waits_for_nothing_while_collectives_start_and_are_waited_for) {
  NcclWorld world;
  AllToAll exchange(world, 1);
  const std::vector<std::int64_t> counts(static_cast<std::size_t>(world.group().size()), 50000);
  const std::int64_t total = 50000 * world.group().size();
  Placed<float> values(world.placed(), std::vector<float>(static_cast<std::size_t>(total)));
  Placed<float> part = room_for<float>(world.placed(), 50000);
  const auto waits = emulation::observed().host_waits;
  const auto finished = world.compute()->finished;
  const std::size_t free = emulation::free_device_bytes();
  exchange.start().wait();
  world.group().all_reduce(values.part(0, 1), Reduction::kMax).wait();
  world.group().all_reduce(values.buffer(), Reduction::kSum).wait();
  world.group().reduce_scatter_v(values.buffer(), counts, part.buffer()).wait();
  world.group().all_gather_v(values.buffer(), counts).wait();
  world.group().broadcast(values.buffer(), 0).wait();
  EXPECT_EQ(emulation::observed().host_waits, waits);
  EXPECT_EQ(world.compute()->finished, finished) << "not even the uploads before have run";
  EXPECT_EQ(emulation::free_device_bytes(), free) << "memory is taken at the start";
  EXPECT_EQ(exchange.received(), exchange.expected());
}

TEST(NcclCommunicator, what_nobody_has_waited_for_is_not_there_yet) {
  NcclWorld world;
  AllToAll exchange(world, 2);
  Pending pending = exchange.start();
  EXPECT_FALSE(same_bits(exchange.received(), exchange.expected()));
  pending.wait();
  EXPECT_TRUE(same_bits(exchange.received(), exchange.expected()));
}

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

TEST(NcclCommunicator, hosts_meet_without_the_devices) {
  NcclWorld world;
  EXPECT_EQ(world.group().memory(), MemoryKind::kDevice);
  const int launches = emulation::observed_nccl().launches;
  world.group().barrier();
  EXPECT_EQ(emulation::observed_nccl().launches, launches);
}

TEST(NcclCommunicator, every_kind_of_collective_is_tried_once_at_the_start) {
  const emulation::ObservedNccl before = emulation::observed_nccl();
  NcclWorld world;
  const bool alone = world.group().size() == 1;
  EXPECT_EQ(emulation::observed_nccl().created - before.created, alone ? 0 : 1);
  EXPECT_EQ(emulation::observed_nccl().launches - before.launches, alone ? 0 : 3);
  world.leave();
  EXPECT_EQ(emulation::observed_nccl().destroyed - before.destroyed, alone ? 0 : 1);
  EXPECT_EQ(emulation::observed_nccl().aborted, before.aborted);
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

TEST(DeviceChoice, ranks_that_see_one_and_the_same_device_share_it_only_if_they_may) {
  gpu::Devices devices = gpu::visible_devices();
  EXPECT_EQ(choose_device(test_world(), devices, false), 0) << "every process has its own here";
  devices.visible[0].uuid.fill(0x5e);
  EXPECT_EQ(choose_device(test_world(), devices, true), 0);
  if (test_world().size() == 1) return;
  try {
    choose_device(test_world(), devices, false);
    FAIL() << "all of them have it";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("ranks 0 and 1 on host "));
    EXPECT_THAT(error.what(),
                testing::HasSubstr("same device GPU-5e5e5e5e-5e5e-5e5e-5e5e-5e5e5e5e5e5e; "));
  }
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
