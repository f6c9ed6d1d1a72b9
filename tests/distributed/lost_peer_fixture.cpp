// Not a test of its own: expect_failing_rank.cmake runs it and expects it to fail. Rank 1 is killed
// in the middle of a rebalance.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>

#include "tests/support/interrupted_communicator.h"
#include "tests/support/mpi_world.h"
#include "tests/support/training_world.h"

namespace hetmoe::test {
namespace {

TEST(LostPeer, duringAMove) {
  const RunConfig config = small_training();
  auto countdown = std::make_shared<InterruptedCommunicator::Countdown>();
  InterruptedCommunicator world(test_world().split(0, test_world().rank()), countdown);
  TrainingWorld training(config, world, cut_placement(config.model, world.size()));
  training.step(1);
  if (world.rank() == 1) *countdown = {.calls = 2, .interrupt = [] { std::raise(SIGKILL); }};
  std::printf("moving\n");
  std::fflush(stdout);
  training.migrate(whole_placement(config.model));
  std::printf("has moved\n");
  std::fflush(stdout);
}

}  // namespace
}  // namespace hetmoe::test
