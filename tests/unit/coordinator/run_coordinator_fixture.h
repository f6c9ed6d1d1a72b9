#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "runtime/coordinator/run_coordinator.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/coordinator/coordinator_test_support.h"

namespace hetmoe {

/// A coordinator with a journal, which can be killed and started again.
class RunCoordinatorTest : public testing::Test {
 protected:
  RunCoordinatorTest() { start_again(); }

  void start_again() {
    coordinator.reset();
    coordinator = std::make_unique<RunCoordinator>(folder / "journal", clock);
  }

  void join_all(int ranks, std::int64_t generation = 1) {
    for (int rank = 0; rank < ranks; ++rank) coordinator->join(join_of(rank, ranks, generation));
  }

  /// The fault of a join, or nothing.
  std::optional<CoordinatorFault> join_fault(const JoinRequest& request) {
    return fault_of([&] { coordinator->join(request); });
  }

  /// Of rank 0, which then has executed a command.
  Heartbeat executed(std::int64_t number, std::int64_t step) const {
    Heartbeat beat = beat_of(0, step);
    beat.executed_command = number;
    beat.executed_step = step;
    return beat;
  }

  std::vector<std::int64_t> open_commands() {
    std::vector<std::int64_t> numbers;
    for (const AcceptedCommand& command : coordinator->heartbeat(beat_of(0, 1000)).commands) {
      numbers.push_back(command.number);
    }
    return numbers;
  }

  TemporaryFolder folder;
  HandClock clock;
  std::unique_ptr<RunCoordinator> coordinator;
};

}  // namespace hetmoe
