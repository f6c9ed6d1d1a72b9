// What only an emulated device can tell of the communicator: how late, how often, from what memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/error.h"
#include "core/gpu/devices.h"
#include "parallel/communicator/device_choice.h"
#include "tests/distributed/nccl_exchanges.h"
#include "tests/emulation/device_memory.h"
#include "tests/emulation/nccl.h"
#include "tests/emulation/streams.h"

namespace hetmoe::test {
namespace {

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

}  // namespace
}  // namespace hetmoe::test
