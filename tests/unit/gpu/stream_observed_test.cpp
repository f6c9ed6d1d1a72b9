// What only an emulated device can tell: how late a stream is, and calls that fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "core/gpu/device_error.h"
#include "core/gpu/devices.h"
#include "core/gpu/memory.h"
#include "core/gpu/stream.h"
#include "cuda_runtime.h"
#include "tests/emulation/streams.h"

namespace hetmoe::test {
namespace {

TEST(OwnedStream, what_nobody_told_a_second_stream_to_wait_for_is_not_there) {
  const gpu::OwnedStream first, second;
  gpu::PinnedMemory pinned(2 * sizeof(int));
  auto* host = static_cast<int*>(pinned.get());
  host[0] = 7;
  host[1] = 0;
  const gpu::DeviceMemory memory(sizeof(int));
  gpu::copy_to_device(memory.get(), host, sizeof(int), first.get());
  gpu::copy_to_host(host + 1, memory.get(), sizeof(int), second.get());
  gpu::wait_for(second.get());
  EXPECT_NE(host[1], 7);
}

TEST(OwnedEvent, what_comes_after_the_record_is_not_waited_for) {
  const gpu::OwnedStream stream;
  gpu::OwnedEvent event;
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
