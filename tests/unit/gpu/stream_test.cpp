#include "core/gpu/stream.h"

#include <gtest/gtest.h>

#include <array>

#include "core/gpu/device_error.h"
#include "core/gpu/devices.h"
#include "core/gpu/memory.h"

namespace hetmoe::test {
namespace {

TEST(OwnedStream, a_stream_told_to_wait_for_another_sees_what_that_one_did) {
  const gpu::OwnedStream first, second;
  gpu::OwnedEvent event;
  gpu::PinnedMemory pinned(2 * sizeof(int));
  auto* host = static_cast<int*>(pinned.get());
  host[0] = 7;
  host[1] = 0;
  const gpu::DeviceMemory memory(sizeof(int));
  gpu::copy_to_device(memory.get(), host, sizeof(int), first.get());
  gpu::order(first.get(), second.get(), event);
  gpu::copy_to_host(host + 1, memory.get(), sizeof(int), second.get());
  gpu::wait_for(second.get());
  EXPECT_EQ(host[1], 7);
}

TEST(OwnedEvent, it_is_reached_before_the_first_record_and_after_a_wait) {
  const gpu::OwnedStream stream;
  gpu::OwnedEvent event;
  EXPECT_TRUE(event.reached()) << "never recorded";
  std::array<int, 2> host = {1, 2};
  const gpu::DeviceMemory memory(sizeof host);
  gpu::copy_to_device(memory.get(), host.data(), sizeof host, stream.get());
  event.record(stream.get());
  event.wait();
  EXPECT_TRUE(event.reached());
}

TEST(DeviceMemory, copies_and_zeros_stay_where_they_were_asked_for) {
  const gpu::OwnedStream stream;
  const std::array<int, 4> host = {1, 2, 3, 4};
  std::array<int, 4> back = {};
  const gpu::DeviceMemory first(sizeof host), second(sizeof host);
  gpu::copy_to_device(first.get(), host.data(), sizeof host, stream.get());
  gpu::copy_on_device(second.get(), first.get(), sizeof host, stream.get());
  gpu::fill_with_zeros(static_cast<int*>(second.get()) + 1, 2 * sizeof(int), stream.get());
  gpu::copy_to_host(back.data(), second.get(), sizeof back, stream.get());
  gpu::wait_for(stream.get());
  EXPECT_EQ(back, (std::array<int, 4>{1, 0, 0, 4}));
}

TEST(DeviceMemory, a_device_without_room_says_how_much_was_asked_for) {
  try {
    const gpu::DeviceMemory memory(std::size_t{1} << 40);
    FAIL() << "there is no such room";
  } catch (const gpu::DeviceMemoryError& error) {
    EXPECT_STREQ(error.what(), "cudaMalloc of 1099511627776 bytes: out of memory");
  }
  EXPECT_NO_THROW(gpu::DeviceMemory(1)) << "the error is not blamed on the next call";
}

TEST(Devices, those_that_are_visible_have_a_name_memory_and_a_uuid) {
  const gpu::Devices devices = gpu::visible_devices();
  ASSERT_FALSE(devices.visible.empty()) << devices.why_none;
  EXPECT_TRUE(devices.why_none.empty());
  for (const gpu::Device& device : devices.visible) {
    EXPECT_FALSE(device.name.empty());
    EXPECT_GT(device.memory_bytes, std::int64_t{1} << 30);
    EXPECT_GT(device.multiprocessors, 0);
    EXPECT_GE(device.major, 8);
    EXPECT_NE(device.uuid, decltype(device.uuid){});
  }
}

}  // namespace
}  // namespace hetmoe::test
