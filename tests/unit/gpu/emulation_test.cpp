// The emulated device itself: what it must catch, or it proves nothing of kernels.
#include <gtest/gtest.h>
#include <kernel_language.h>

#include "core/gpu/device_error.h"
#include "tests/unit/gpu/device_array.h"

namespace hetmoe::test {
namespace {

__global__ void add_neighbour(const int* in, int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = in[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = values[threadIdx.x] + values[(threadIdx.x + 1) % 64];
}

__global__ void add_neighbour_without_barrier(const int* in, int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = in[blockIdx.x * 64 + threadIdx.x];
  out[blockIdx.x * 64 + threadIdx.x] = values[threadIdx.x] + values[(threadIdx.x + 1) % 64];
}

/// Warps take from the first thread twice; `barriers`: not before all have taken the first.
__global__ void broadcast_twice(int barriers, int* out) {
  __shared__ int brought;
  if (threadIdx.x == 0) brought = 1;
  __syncthreads();
  const int first = __shfl_xor_sync(0xffffffffU, brought, 1);
  if (barriers != 0) __syncthreads();
  if (threadIdx.x == 0) brought = 2;
  __syncthreads();
  out[threadIdx.x] = 10 * first + brought;
}

__global__ void reverse_warp(int* values) {
  values[threadIdx.x] = __shfl_xor_sync(0xffffffffU, values[threadIdx.x], 31);
}

__global__ void vote_and_match(const int* in, unsigned* out) {
  const unsigned odd = __ballot_sync(0xffffffffU, in[threadIdx.x] % 2);
  const unsigned alike = __match_any_sync(0xffffffffU, in[threadIdx.x] % 3 - 1);
  out[2 * threadIdx.x] = odd;
  out[2 * threadIdx.x + 1] = alike;
}

__global__ void half_a_block_waits() {
  if (threadIdx.x < 32) __syncthreads();
}

std::vector<int> counted(int count) {
  std::vector<int> values;
  for (int i = 0; i < count; ++i) values.push_back(i * i);
  return values;
}

std::vector<int> run(void (*kernel)(const int*, int*), emulation::Turns turns) {
  const DeviceArray<int> in(counted(192));
  const DeviceArray<int> out(192);
  emulation::take_turns(turns);
  gpu::launch("kernel", {.blocks_x = 3, .threads = 64}, nullptr, kernel, in.get(), out.get());
  const std::vector<int> values = out.values();
  emulation::take_turns(emulation::Turns::kAscending);
  return values;
}

TEST(Emulation, threads_of_a_block_share_memory_and_meet_at_barriers) {
  std::vector<int> expected;
  for (int block = 0; block < 3; ++block) {
    for (int i = 0; i < 64; ++i) {
      const int a = block * 64 + i;
      const int b = block * 64 + (i + 1) % 64;
      expected.push_back(a * a + b * b);
    }
  }
  EXPECT_EQ(run(&add_neighbour, emulation::Turns::kAscending), expected);
  EXPECT_EQ(run(&add_neighbour, emulation::Turns::kDescending), expected);
}

TEST(Emulation, a_missing_barrier_shows_when_threads_take_other_turns) {
  EXPECT_NE(run(&add_neighbour_without_barrier, emulation::Turns::kAscending),
            run(&add_neighbour_without_barrier, emulation::Turns::kDescending));
}

TEST(Emulation, a_warp_runs_ahead_of_others_as_far_as_barriers_let_it) {
  const DeviceArray<int> out(64);
  const auto last = [&](int barriers) {
    gpu::launch("twice", {.blocks_x = 1, .threads = 64}, nullptr, &broadcast_twice, barriers,
                out.get());
    return out.values().back();
  };
  EXPECT_EQ(last(1), 12);
  EXPECT_EQ(last(0), 22) << "the first warp has overwritten what the second was to take";
}

TEST(Emulation, lanes_of_a_warp_exchange_values) {
  const DeviceArray<int> values(counted(64));
  gpu::launch("reverse_warp", {.blocks_x = 1, .threads = 64}, nullptr, &reverse_warp, values.get());
  const std::vector<int> got = values.values();
  for (int i = 0; i < 64; ++i) {
    const int other = i / 32 * 32 + (31 - i % 32);
    EXPECT_EQ(got[static_cast<std::size_t>(i)], other * other);
  }
}

TEST(Emulation, lanes_of_a_warp_vote_and_find_those_of_one_value) {
  const std::vector<int> in = counted(64);
  const DeviceArray<int> values(in);
  const DeviceArray<unsigned> out(128);
  gpu::launch("vote", {.blocks_x = 1, .threads = 64}, nullptr, &vote_and_match, values.get(),
              out.get());
  const std::vector<unsigned> got = out.values();
  for (std::size_t i = 0; i < 64; ++i) {
    unsigned alike = 0;
    for (std::size_t lane = 0; lane < 32; ++lane) {
      if (in[i / 32 * 32 + lane] % 3 == in[i] % 3) alike |= 1U << lane;
    }
    EXPECT_EQ(got[2 * i], 0xaaaaaaaaU);
    EXPECT_EQ(got[2 * i + 1], alike);
  }
}

TEST(Emulation, bits_are_counted_and_found_as_cuda_does) {
  EXPECT_EQ(__popc(0x80000101U), 3);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(1), 1);
  EXPECT_EQ(__ffs(static_cast<int>(0x80000000U)), 32);
}

TEST(EmulationDeathTest, threads_that_wait_for_some_that_do_not_come_are_told_with_the_kernel) {
  EXPECT_DEATH(
      {
        gpu::launch("halves", {.blocks_x = 1, .threads = 64}, nullptr, &half_a_block_waits);
        gpu::wait_for(nullptr);
      },
      "threads of halves wait for others that do not come");
}

TEST(EmulationDeathTest, the_host_cannot_touch_memory_of_the_device) {
  const DeviceArray<int> values(counted(4));
  EXPECT_DEATH({ *static_cast<volatile int*>(values.get()) = 1; }, "");
}

TEST(Emulation, memory_is_not_zero_before_it_is_written) {
  EXPECT_EQ(DeviceArray<int>(2).values(), (std::vector<int>{-1, -1}));
}

TEST(Emulation, a_kernel_refuses_memory_of_the_host) {
  std::vector<int> host(64);
  EXPECT_THROW(gpu::launch("reverse_warp", {.blocks_x = 1, .threads = 64}, nullptr, &reverse_warp,
                           host.data()),
               gpu::DeviceError);
}

TEST(Emulation, a_launch_without_blocks_is_an_error_as_it_is_in_cuda) {
  EXPECT_THROW(gpu::launch("none", {.blocks_x = 0, .threads = 64}, nullptr, &half_a_block_waits),
               gpu::DeviceError);
}

}  // namespace
}  // namespace hetmoe::test
