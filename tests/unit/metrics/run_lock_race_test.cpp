#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/metrics/run_lock_test_support.h"

namespace hetmoe {
namespace {

using ::testing::HasSubstr;

constexpr int kRounds = 200;

TEST(RunLockRace, OneOfManyThreadsGetsAFreeLock) {
  const SystemClock clock;
  const LockHolder self = this_process();
  for (int round = 0; round < kRounds; ++round) {
    const TemporaryFolder folder;
    std::array<std::unique_ptr<RunLock>, 4> locks;
    std::array<std::string, 4> refusals;
    std::barrier start(static_cast<std::ptrdiff_t>(locks.size()));
    std::vector<std::jthread> runs;
    for (std::size_t run = 0; run < locks.size(); ++run) {
      runs.emplace_back([&, run] {
        start.arrive_and_wait();
        try {
          locks[run] =
              std::make_unique<RunLock>(RunDirectory::open(folder.path()), self, clock, lively());
        } catch (const StorageError& error) {
          refusals[run] = error.what();
        }
      });
    }
    runs.clear();
    ASSERT_EQ(std::count(locks.begin(), locks.end(), nullptr), 3) << round;
    for (std::size_t run = 0; run < locks.size(); ++run) {
      ASSERT_THAT(refusals[run], locks[run] ? HasSubstr("") : HasSubstr("' is in use by process "));
    }
  }
}

/// Says 'L' (locked) or 'R' (refused), and holds what it has until `hold` closes.
void race(const RunDirectory& directory, Pipe& start, Pipe& answer, Pipe& hold) {
  start.close_writing();
  hold.close_writing();
  const SystemClock clock;
  start.get();
  std::unique_ptr<RunLock> lock;
  try {
    lock = std::make_unique<RunLock>(directory, this_process(), clock, lively());
  } catch (const StorageError&) {
  }
  answer.put(lock ? 'L' : 'R');
  hold.get();
  ::_exit(0);  // as a kill would: the next round finds the lock of a dead process
}

TEST(RunLockRace, OneOfManyProcessesTakesOverFromADeadOne) {
  const TemporaryFolder folder;
  const RunDirectory directory = RunDirectory::open(folder.path());
  for (int round = 1; round <= kRounds; ++round) {
    Pipe start, answer, hold;
    std::vector<Child> children;
    for (int child = 0; child < 3; ++child) {
      children.emplace_back([&] { race(directory, start, answer, hold); });
    }
    start.close_writing();
    answer.close_writing();
    int locked = 0;
    for (std::size_t child = 0; child < children.size(); ++child) {
      const char said = answer.get();
      ASSERT_TRUE(said == 'L' || said == 'R') << round;
      locked += said == 'L' ? 1 : 0;
    }
    ASSERT_EQ(locked, 1) << round;
    const auto holder = read_lock_holder(contents_of(directory.lock_file()));
    ASSERT_TRUE(holder) << round;
    ASSERT_EQ(holder->generation, round);
  }
}

}  // namespace
}  // namespace hetmoe
