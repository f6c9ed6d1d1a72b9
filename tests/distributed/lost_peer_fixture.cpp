// Not a test of its own: expect_failing_rank.cmake runs it and expects it to fail. Rank 1 is lost
// in the middle of what all ranks do together.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <stdexcept>

#include "tests/support/interrupted_communicator.h"
#include "tests/support/mpi_world.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

void say(const char* text) {
  std::printf("%s\n", text);
  std::fflush(stdout);
}

/// Trains a step, then `next`, in which rank 1 is interrupted at its all-to-all number `calls`.
void lose_rank_1(std::int64_t calls, const std::function<void()>& interrupt,
                 const std::function<void(TrainingWorld&)>& next) {
  const RunConfig config = small_training();
  auto countdown = std::make_shared<InterruptedCommunicator::Countdown>();
  InterruptedCommunicator world(test_world().split(0, test_world().rank()), countdown);
  TrainingWorld training(config, world, cut_placement(config.model, world.size()));
  training.step(1);
  if (world.rank() == 1) *countdown = {.calls = calls, .interrupt = interrupt};
  say("begins");
  next(training);
  say("goes on");
}

// Four all-to-alls a layer forward and three backward: in that of layer 0, after those of the head
// and of layer 1 have been reported.
constexpr std::int64_t kInBackward = 2 * 4 + 3;

TEST(LostPeer, killedDuringAMove) {
  lose_rank_1(
      2, [] { std::raise(SIGKILL); },
      [](TrainingWorld& training) { training.migrate(whole_placement(small_training().model)); });
}

TEST(LostPeer, killedInAStep) {
  lose_rank_1(
      kInBackward, [] { std::raise(SIGKILL); }, [](TrainingWorld& training) { training.step(2); });
}

TEST(LostPeer, throwsInAStep) {
  lose_rank_1(
      kInBackward, [] { throw std::runtime_error("deliberate exception"); },
      [](TrainingWorld& training) { training.step(2); });
}

}  // namespace
}  // namespace hetmoe::test
