#include "runtime/metrics/held_run.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <barrier>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/metrics/run_lock_test_support.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::UnorderedElementsAre;

class HeldRunTest : public ::testing::Test {
 protected:
  HeldRun hold(ResumePolicy policy = ResumePolicy::kContinue) {
    return continue_or_create(given_, "tiny", clock_, policy, here(), quick());
  }

  std::string refusal(ResumePolicy policy = ResumePolicy::kContinue) {
    return message_of<StorageError>([&] { hold(policy); });
  }

  /// What a run of two steps leaves.
  void leave_a_run() {
    put(given_ / "config.yaml", "model: {}\n");
    put(given_ / "metrics.jsonl", "{\"step\":1}\n{\"step\":2}\n");
    put(given_ / "events.jsonl", "{\"generation\":1,\"event\":\"started\"}\n");
    put(given_ / "exit.json", "{}\n");
  }

  TemporaryFolder folder_;
  fs::path given_ = folder_.path();
  RunningClock clock_;
};

TEST_F(HeldRunTest, AnAbsentFolderIsMadeForANewRun) {
  given_ = folder_.path() / "a" / "b";
  const HeldRun run = hold();
  EXPECT_FALSE(run.continued);
  EXPECT_EQ(run.generation(), 1);
  EXPECT_EQ(run.directory.path(), given_);
  EXPECT_TRUE(fs::exists(given_ / "lock.json"));
  EXPECT_TRUE(fs::exists(given_ / "metrics.jsonl"));
  EXPECT_TRUE(fs::is_directory(given_ / "logs"));
}

TEST_F(HeldRunTest, WithoutAFolderANewOneIsNamed) {
  const InFolder inside(folder_.path());
  const HeldRun run = continue_or_create({}, "tiny", clock_, ResumePolicy::kContinue, here());
  EXPECT_THAT(run.directory.path().string(), MatchesRegex("runs/tiny-[0-9]+-[0-9]+-[0-9a-f]{4}"));
  EXPECT_FALSE(run.continued);
  EXPECT_TRUE(fs::exists(run.directory.lock_file()));
}

TEST_F(HeldRunTest, AUsedFolderIsContinuedWithWhatItHolds) {
  leave_a_run();
  const HeldRun run = hold();
  EXPECT_TRUE(run.continued);
  EXPECT_EQ(run.generation(), 2);
  EXPECT_EQ(run.lock->taken_over(), "");
  EXPECT_EQ(contents_of(given_ / "metrics.jsonl"), "{\"step\":1}\n{\"step\":2}\n");
  EXPECT_EQ(contents_of(given_ / "config.yaml"), "model: {}\n");
  EXPECT_FALSE(fs::exists(given_ / "exit.json")) << "this run has not ended";
}

TEST_F(HeldRunTest, CheckpointsAloneAreContinued) {
  fs::create_directories(given_ / "checkpoints" / "step-00000100");
  const HeldRun run = hold();
  EXPECT_TRUE(run.continued);
  EXPECT_TRUE(fs::exists(given_ / "metrics.jsonl"));
}

TEST_F(HeldRunTest, ARunThatWasKilledAtItsStartBeginsAnew) {
  put(given_ / "metrics.jsonl", "");
  fs::create_directories(given_ / "checkpoints");
  EXPECT_FALSE(hold().continued);
}

TEST_F(HeldRunTest, NeverRefusesAUsedFolderAndLeavesNothing) {
  leave_a_run();
  EXPECT_EQ(refusal(ResumePolicy::kNever),
            "run directory '" + given_.string() +
                "' is already in use (it holds metrics.jsonl): give a new --run-dir");
  EXPECT_THAT(folder_.names(),
              UnorderedElementsAre("config.yaml", "metrics.jsonl", "events.jsonl", "exit.json"));
}

TEST_F(HeldRunTest, NeverTakesANewFolder) {
  EXPECT_FALSE(hold(ResumePolicy::kNever).continued);
  EXPECT_THAT(refusal(ResumePolicy::kNever), HasSubstr("it holds metrics.jsonl"));
}

TEST_F(HeldRunTest, NeverLooksAgainOnceItHasTheLock) {
  const RunDirectory directory = RunDirectory::open(given_);
  put(directory, stranger());
  clock_.on_look = [&](double) {  // the other run starts and ends meanwhile
    leave_a_run();
    fs::remove(directory.lock_file());
  };
  EXPECT_THAT(refusal(ResumePolicy::kNever), HasSubstr("it holds metrics.jsonl"));
  EXPECT_FALSE(fs::exists(directory.lock_file()));
}

TEST_F(HeldRunTest, FilesThatNoRunLeftAreNotWrittenOver) {
  put(given_ / "config.yaml", "mine: true\n");
  EXPECT_EQ(refusal(), "run directory '" + given_.string() +
                           "' cannot be continued (it holds config.yaml, but neither metrics.jsonl "
                           "nor checkpoints): give a new --run-dir");
  EXPECT_FALSE(fs::exists(given_ / "lock.json"));
  EXPECT_FALSE(fs::exists(given_ / "metrics.jsonl"));
  fs::remove(given_ / "config.yaml");
  put(given_ / "metrics.jsonl", "{}\n");
  EXPECT_THAT(refusal(), HasSubstr("(it holds metrics.jsonl, but neither config.yaml nor"));
}

TEST_F(HeldRunTest, ALiveRunIsNotContinued) {
  leave_a_run();
  LockHolder other = stranger();
  put(RunDirectory::open(given_), other);
  clock_.on_look = [&](double) {
    ++other.beat;
    put(RunDirectory::open(given_), other);
  };
  EXPECT_THAT(refusal(), HasSubstr("is in use by process 12 on host far"));
  EXPECT_TRUE(fs::exists(given_ / "exit.json"));
}

TEST_F(HeldRunTest, OneOfManyStartersGetsTheFolder) {
  for (int round = 0; round < 50; ++round) {
    const TemporaryFolder folder;
    const SystemClock clock;
    std::vector<std::optional<HeldRun>> runs(4);
    std::barrier start(static_cast<std::ptrdiff_t>(runs.size()));
    std::vector<std::jthread> starters;
    for (auto& run : runs) {
      starters.emplace_back([&] {
        start.arrive_and_wait();
        try {
          run.emplace(continue_or_create(folder.path() / "new", "tiny", clock,
                                         ResumePolicy::kContinue, here(), lively()));
        } catch (const StorageError&) {
        }
      });
    }
    starters.clear();
    ASSERT_EQ(std::count_if(runs.begin(), runs.end(), [](const auto& run) { return !!run; }), 1);
  }
}

}  // namespace
}  // namespace hetmoe
