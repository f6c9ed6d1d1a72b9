#pragma once

#include <array>
#include <cstdint>
#include <functional>

namespace hetmoe::emulation {

struct Index {
  unsigned x = 0;
  unsigned y = 0;
  unsigned z = 0;
};

/// In which order the threads of a block take turns, and blocks follow one another. What a kernel
/// gives must not depend on it.
enum class Turns { kAscending, kDescending };
void take_turns(Turns turns);

/// Runs `body` once per thread of every block. Threads of a block are fibers of the calling thread:
/// each goes on until it waits for others, and each warp until it waits for other warps, so that
/// warps are as far apart as barriers let them be. Aborts the process, naming the kernel, when
/// threads wait for some that have ended or wait elsewhere.
void run_grid(const char* kernel, Index blocks, unsigned threads,
              const std::function<void()>& body);

/// For the running fiber.
extern thread_local Index thread_index, block_index, block_size, grid_size;

/// Waits for all threads of the block.
void wait_for_block();

constexpr unsigned kWarpSize = 32;
using WarpBits = std::array<std::uint64_t, kWarpSize>;
/// Gives every lane of a warp what each of its lanes has brought. All lanes must come.
WarpBits exchange_in_warp(std::uint64_t bits);

}  // namespace hetmoe::emulation
