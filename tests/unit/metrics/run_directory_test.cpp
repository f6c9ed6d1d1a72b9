#include "runtime/metrics/run_directory.h"

#include <gmock/gmock.h>

#include <atomic>
#include <barrier>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/unit/metrics/metrics_test_files.h"
#include "tests/unit/metrics/run_lock_test_support.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

std::string refusal_of(const fs::path& given) {
  try {
    RunDirectory::create(given, "tiny", StillClock());
  } catch (const StorageError& error) {
    return error.what();
  }
  return "";
}

TEST(RunDirectory, IsNamedAfterConfigurationAndTime) {
  const TemporaryFolder folder;
  const InFolder here(folder.path());
  StillClock clock;
  clock.wall = 1795320617.9;
  const RunDirectory run = RunDirectory::create({}, "tiny", clock);
  EXPECT_THAT(run.path().string(), MatchesRegex("runs/tiny-20261122-041017-[0-9a-f]{4}"));
  EXPECT_TRUE(fs::is_directory(run.path() / "logs"));
  EXPECT_EQ(run.log_file(3), run.path() / "logs" / "rank-3.log");
}

TEST(RunDirectory, IsNewForEveryRunOfTheSameSecond) {
  const TemporaryFolder folder;
  const InFolder here(folder.path());
  const StillClock clock;
  const auto first = RunDirectory::create({}, "tiny", clock).path();
  EXPECT_NE(RunDirectory::create({}, "tiny", clock).path(), first);
}

TEST(RunDirectory, IsRefusedByNameWhenARunHasUsedIt) {
  for (const std::string name : {"metrics.jsonl", "config.yaml"}) {
    const TemporaryFolder folder;
    put(folder.path() / name, "");
    EXPECT_EQ(refusal_of(folder.path()), "run directory '" + folder.path().string() +
                                             "' is already in use (it holds " + name +
                                             "): give a new --run-dir");
  }
}

TEST(RunDirectory, MayBeUsedAgainWhenNoStepWasTaken) {
  const TemporaryFolder folder;
  const auto first = RunDirectory::create(folder.path(), "tiny", StillClock());
  put(first.config_file(), "model: {}\n");
  first.write_exit_json(ExitCode::kStorage, "no data");
  first.release();
  EXPECT_TRUE(fs::exists(folder.path() / "exit.json"));
  EXPECT_EQ(refusal_of(folder.path()), "");
  EXPECT_FALSE(fs::exists(folder.path() / "exit.json"));
}

TEST(RunDirectory, IsNotReleasedOnceAStepIsRecorded) {
  const TemporaryFolder folder;
  const auto first = RunDirectory::create(folder.path(), "tiny", StillClock());
  put(first.metrics_file(), "{}\n");
  first.release();
  EXPECT_THAT(refusal_of(folder.path()), HasSubstr("it holds metrics.jsonl"));
}

TEST(RunDirectory, IsRefusedWhenItHoldsCheckpoints) {
  const TemporaryFolder folder;
  fs::create_directories(folder.path() / "checkpoints" / "step-00000100");
  EXPECT_THAT(refusal_of(folder.path()), HasSubstr("(it holds checkpoints)"));
}

TEST(RunDirectory, IsNotReleasedOnceItHoldsCheckpoints) {
  const TemporaryFolder folder;
  const auto run = RunDirectory::create(folder.path(), "tiny", StillClock());
  put(run.config_file(), "model: {}\n");
  fs::create_directories(run.checkpoints_folder() / "step-00000100");
  run.release();
  EXPECT_TRUE(fs::exists(run.config_file()));
  EXPECT_TRUE(fs::exists(run.metrics_file()));
  fs::remove_all(run.checkpoints_folder());
  run.release();
  EXPECT_FALSE(fs::exists(run.config_file()));
}

TEST(RunDirectory, IsNotReleasedOnceAnotherProcessHoldsIt) {
  const TemporaryFolder folder;
  const auto run = RunDirectory::create(folder.path(), "tiny", StillClock());
  put(run.config_file(), "model: {}\n");
  put(run, stranger());
  run.release();
  EXPECT_TRUE(fs::exists(run.config_file()));
  put(run, this_process());
  run.release();
  EXPECT_FALSE(fs::exists(run.config_file()));
}

TEST(RunDirectory, MayBeAnExistingFolderWithOtherFiles) {
  const TemporaryFolder folder;
  put(folder.path() / "slurm-12.out", "");
  EXPECT_EQ(refusal_of(folder.path()), "");
}

TEST(RunDirectory, IsMadeWithItsParents) {
  const TemporaryFolder folder;
  EXPECT_EQ(refusal_of(folder.path() / "a" / "b"), "");
  EXPECT_TRUE(fs::is_directory(folder.path() / "a" / "b" / "logs"));
}

TEST(RunDirectory, IsNotAFile) {
  const TemporaryFolder folder;
  put(folder.path() / "file", "");
  EXPECT_THAT(refusal_of(folder.path() / "file"), HasSubstr("/file': Not a directory"));
  EXPECT_THAT(refusal_of(folder.path() / "file" / "below"), HasSubstr("Not a directory"));
}

TEST(RunDirectory, GoesToOneOfManyRunsStartedAtOnce) {
  for (int round = 0; round < 200; ++round) {
    const TemporaryFolder folder;
    std::atomic<int> winners = 0;
    std::barrier start(4);
    std::vector<std::jthread> runs;
    for (int run = 0; run < 4; ++run) {
      runs.emplace_back([&] {
        start.arrive_and_wait();
        winners += refusal_of(folder.path()).empty() ? 1 : 0;
      });
    }
    runs.clear();
    ASSERT_EQ(winners, 1);
  }
}

TEST(RunDirectory, SaysHowTheRunEnded) {
  const TemporaryFolder folder;
  const RunDirectory run = RunDirectory::create(folder.path(), "tiny", StillClock());
  run.write_exit_json(ExitCode::kNonFinite, "loss of step 7 is not finite");
  EXPECT_EQ(nlohmann::json::parse(contents_of(folder.path() / "exit.json")),
            nlohmann::json::parse(R"({"code":6,"reason":"loss of step 7 is not finite"})"));
}

TEST(RunDirectory, ShowsItsMarkerUntilItIsRemoved) {
  const TemporaryFolder folder;
  const RunDirectory run = RunDirectory::create(folder.path(), "tiny", StillClock());
  const fs::path marker = run.write_marker();
  EXPECT_TRUE(visible(marker));
  run.remove_marker();
  EXPECT_FALSE(visible(marker));
}

}  // namespace
}  // namespace hetmoe
