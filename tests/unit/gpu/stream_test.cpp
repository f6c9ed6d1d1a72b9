#include "core/gpu/stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "core/gpu/device_error.h"
#include "core/gpu/devices.h"
#include "core/gpu/memory.h"
#include "cuda_runtime.h"
#include "tests/emulation/streams.h"

namespace hetmoe::test {
namespace {

TEST(OwnedStream, work_of_two_streams_is_ordered_by_events_alone) {
  const gpu::OwnedStream first, second;
  gpu::OwnedEvent event;
  gpu::PinnedMemory pinned(2 * sizeof(int));
  auto* host = static_cast<int*>(pinned.get());
  host[0] = 7;
  host[1] = 0;
  const gpu::DeviceMemory memory(sizeof(int));
  gpu::copy_to_device(memory.get(), host, sizeof(int), first.get());
  gpu::copy_to_host(host + 1, memory.get(), sizeof(int), second.get());
  gpu::wait_for(second.get());
  EXPECT_NE(host[1], 7) << "nobody had told the second stream to wait";

  gpu::order(first.get(), second.get(), event);
  gpu::copy_to_host(host + 1, memory.get(), sizeof(int), second.get());
  gpu::wait_for(second.get());
  EXPECT_EQ(host[1], 7);
}

TEST(OwnedEvent, what_comes_after_the_record_is_not_waited_for) {
  const gpu::OwnedStream stream;
  gpu::OwnedEvent event;
  EXPECT_TRUE(event.reached()) << "never recorded";
  std::array<int, 2> host = {1, 2};
  const gpu::DeviceMemory memory(sizeof host);
  gpu::copy_to_device(memory.get(), host.data(), sizeof(int), stream.get());
  event.record(stream.get());
  gpu::copy_to_device(static_cast<int*>(memory.get()) + 1, host.data(), sizeof(int), stream.get());
  event.wait();
  EXPECT_TRUE(event.reached());
  gpu::OwnedEvent later;
  later.record(stream.get());
  EXPECT_EQ(stream.get()->finished, 1U);
  EXPECT_TRUE(later.reached()) << "asking lets the stream go on";
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

TEST(Devices, a_driver_that_fails_leaves_a_reason_and_no_device) {
  EXPECT_EQ(gpu::visible_devices().visible.size(), 1U);
  emulation::fail_next("cudaGetDeviceCount", cudaErrorNoDevice);
  const gpu::Devices none = gpu::visible_devices();
  EXPECT_TRUE(none.visible.empty());
  EXPECT_EQ(none.why_none, "no CUDA-capable device is detected");
}

TEST(CudaCall, a_failed_call_is_told_with_its_name) {
  emulation::fail_next("cudaStreamSynchronize", cudaErrorIllegalAddress);
  try {
    gpu::wait_for(nullptr);
    FAIL() << "the call had failed";
  } catch (const gpu::DeviceError& error) {
    EXPECT_STREQ(error.what(), "cudaStreamSynchronize: an illegal memory access was encountered");
  }
}

}  // namespace
}  // namespace hetmoe::test
