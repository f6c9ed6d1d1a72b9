// glibc's check of longjmp knows one stack.
#undef _FORTIFY_SOURCE
#include "tests/emulation/thread_block.h"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

namespace hetmoe::emulation {

thread_local Index thread_index, block_index, block_size, grid_size;

namespace {

constexpr std::size_t kStackBytes = std::size_t{64} << 10;

enum class Waits { kNo, kForBlock, kForWarp, kEnded };

/// Begins once and takes one body after another. Contexts are for the beginning alone: changing to
/// one asks the kernel about signals each time.
struct Fiber {
  jmp_buf place = {};
  bool has_begun = false;
  std::unique_ptr<std::byte[]> stack = std::make_unique<std::byte[]>(kStackBytes);
  Waits waits = Waits::kNo;
  std::uint64_t brought = 0;  ///< to the warp
};

Turns turns_of_threads = Turns::kAscending;

class Block {
 public:
  void run(const char* kernel, unsigned threads, const std::function<void()>& body) {
    kernel_ = kernel;
    body_ = &body;
    while (fibers_.size() < threads) fibers_.push_back(std::make_unique<Fiber>());
    threads_ = threads;
    for (unsigned i = 0; i < threads; ++i) fibers_[i]->waits = Waits::kNo;
    do {
      for (unsigned turn = 0; turn < warps(); ++turn) run_warp(in_turn(turn, warps()));
    } while (release_block());
  }

  void wait(Waits waits) {
    Fiber& fiber = *fibers_[running_];
    fiber.waits = waits;
    if (_setjmp(fiber.place) == 0) _longjmp(scheduler_, 1);
  }

  WarpBits exchange(std::uint64_t bits) {
    const unsigned first = running_ / kWarpSize * kWarpSize;
    fibers_[running_]->brought = bits;
    wait(Waits::kForWarp);
    WarpBits taken;
    for (unsigned lane = 0; lane < kWarpSize; ++lane) taken[lane] = fibers_[first + lane]->brought;
    wait(Waits::kForWarp);  // nobody brings the next before all have taken this
    return taken;
  }

 private:
  static void enter();

  [[noreturn]] static void begin(Fiber& fiber) {
    fiber.has_begun = true;
    ucontext_t context = {};
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack.get();
    context.uc_stack.ss_size = kStackBytes;
    makecontext(&context, &Block::enter, 0);
    setcontext(&context);
    std::abort();
  }

  unsigned warps() const { return (threads_ + kWarpSize - 1) / kWarpSize; }

  static unsigned in_turn(unsigned turn, unsigned count) {
    return turns_of_threads == Turns::kAscending ? turn : count - 1 - turn;
  }

  /// As far as it gets without other warps.
  void run_warp(unsigned warp) {
    const unsigned first = warp * kWarpSize;
    const unsigned lanes = std::min(kWarpSize, threads_ - first);
    do {
      for (unsigned turn = 0; turn < lanes; ++turn) resume(first + in_turn(turn, lanes));
    } while (lanes == kWarpSize && release(first, first + lanes, Waits::kForWarp));
  }

  void resume(unsigned thread) {
    if (fibers_[thread]->waits != Waits::kNo) return;
    running_ = thread;
    thread_index = {thread, 0, 0};
    if (_setjmp(scheduler_) != 0) return;
    Fiber& fiber = *fibers_[thread];
    if (!fiber.has_begun) begin(fiber);
    _longjmp(fiber.place, 1);
  }

  bool all(unsigned begin, unsigned end, Waits waits) const {
    return std::all_of(fibers_.begin() + begin, fibers_.begin() + end,
                       [&](const auto& fiber) { return fiber->waits == waits; });
  }

  /// Lets these threads go on if they all wait for it.
  bool release(unsigned begin, unsigned end, Waits waits) {
    if (!all(begin, end, waits)) return false;
    for (unsigned i = begin; i < end; ++i) fibers_[i]->waits = Waits::kNo;
    return true;
  }

  /// Whether any thread is left.
  bool release_block() {
    if (all(0, threads_, Waits::kEnded)) return false;
    if (release(0, threads_, Waits::kForBlock)) return true;
    std::fprintf(stderr, "emulated device: threads of %s wait for others that do not come\n",
                 kernel_);
    std::abort();
  }

  const char* kernel_ = "";
  const std::function<void()>* body_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  unsigned threads_ = 0;
  unsigned running_ = 0;
  jmp_buf scheduler_ = {};
};

Block& this_block() {
  static thread_local Block block;
  return block;
}

void Block::enter() {
  Block& block = this_block();
  while (true) {
    (*block.body_)();
    block.wait(Waits::kEnded);
  }
}

}  // namespace

void take_turns(Turns turns) { turns_of_threads = turns; }

void run_grid(const char* kernel, Index blocks, unsigned threads,
              const std::function<void()>& body) {
  block_size = {threads, 1, 1};
  grid_size = {blocks.x, blocks.y, 1};
  const std::uint64_t count = std::uint64_t{blocks.x} * blocks.y;
  for (std::uint64_t turn = 0; turn < count; ++turn) {
    const std::uint64_t block = turns_of_threads == Turns::kAscending ? turn : count - 1 - turn;
    block_index = {static_cast<unsigned>(block % blocks.x), static_cast<unsigned>(block / blocks.x),
                   0};
    this_block().run(kernel, threads, body);
  }
}

void wait_for_block() { this_block().wait(Waits::kForBlock); }

WarpBits exchange_in_warp(std::uint64_t bits) { return this_block().exchange(bits); }

}  // namespace hetmoe::emulation
