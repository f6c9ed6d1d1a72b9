// Not a test of its own: expect_failing_rank.cmake runs it and expects it to fail. What the real
// NCCL would hang on, or do with memory that is another's, its double must tell.
#include <gtest/gtest.h>

#include "tests/distributed/nccl_world.h"

namespace hetmoe::test {
namespace {

TEST(BrokenNccl, countsDiffer) {
  NcclWorld world;
  const auto count = [&](int from, int to) -> std::int64_t {
    if (from != 0 || to != 1) return 0;
    return world.group().rank() == 1 ? 4 : 8;
  };
  std::vector<std::int64_t> sends, receives;
  for (int peer = 0; peer < world.group().size(); ++peer) {
    sends.push_back(count(world.group().rank(), peer));
    receives.push_back(count(peer, world.group().rank()));
  }
  Placed<std::uint8_t> send = room_for<std::uint8_t>(world.placed(), total_of(sends));
  Placed<std::uint8_t> receive = room_for<std::uint8_t>(world.placed(), total_of(receives));
  world.group().all_to_all_v(send.buffer(), sends, receive.buffer(), receives).wait();
  receive.values();
  world.group().barrier();
}

TEST(BrokenNccl, collectivesDiffer) {
  NcclWorld world;
  Placed<float> value(world.placed(), std::vector<float>(1));
  if (world.group().rank() == 1)
    world.group().broadcast(value.buffer(), 0).wait();
  else
    world.group().all_reduce(value.buffer(), Reduction::kSum).wait();
  value.values();
  world.group().barrier();
}

TEST(BrokenNccl, abortEndsAllThoughTheirHostsWaitForTheirDevices) {
  NcclWorld world;
  Placed<float> value(world.placed(), std::vector<float>(1));
  if (world.group().rank() == 1) world.group().abort("deliberate abort", 4);
  world.group().all_reduce(value.buffer(), Reduction::kSum).wait();
  value.values();
}

}  // namespace
}  // namespace hetmoe::test
