#include "runtime/watchdog/watchdog.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "parallel/communicator/local_communicator.h"
#include "parallel/communicator/watched_communicator.h"
#include "tests/support/temporary_folder.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Stands until it is to run; then every look is a second later, and deadlines pass with the
/// watchdog's looks, however slow the machine.
class CountingClock final : public Clock {
 public:
  explicit CountingClock(const std::atomic<bool>& runs) : runs_(runs) {}
  double monotonic_seconds() const override {
    return static_cast<double>(runs_ ? ++looks_ : looks_.load());
  }
  double wall_seconds() const override { return 0; }

 private:
  const std::atomic<bool>& runs_;
  mutable std::atomic<int> looks_ = 0;
};

/// What the watchdogs of a world brought about.
struct Outcome {
  std::mutex mutex;
  std::vector<std::string> notes;
  std::vector<Verdict> verdicts;
  std::vector<std::string> reasons;
  std::vector<std::string> own_ends;
};

/// Three ranks that are threads; the job ends as a failed LocalWorld does.
class WatchdogTest : public testing::Test {
 protected:
  using Body = std::function<void(Communicator& traffic, CollectiveLog& log)>;

  WatchdogActions actions_of(int rank) {
    const auto add = [this](std::vector<std::string>& texts, const std::string& text) {
      const std::scoped_lock guard(outcome.mutex);
      texts.push_back(text);
    };
    return {.note = [=, this](const std::string& text) { add(outcome.notes, text); },
            .record =
                [this](const Verdict& verdict, const std::string&) {
                  const std::scoped_lock guard(outcome.mutex);
                  outcome.verdicts.push_back(verdict);
                },
            .end_job =
                [=, this](const std::string& text) {
                  add(outcome.reasons, text);
                  world.fail(rank, text);
                },
            .end_process = [=, this](const std::string& text) { add(outcome.own_ends, text); }};
  }

  WatchdogSettings settings_of(int rank, double grace_seconds) const {
    return {.identity = {rank, 3, 1},
            .folder = folder.path() / "collectives",
            .deadlines = {.first_seconds = 40, .seconds = 20},
            .look_seconds = 0.002,
            .grace_seconds = grace_seconds,
            .leave_seconds = 600};
  }

  /// `has_watchdog`: by rank; one without is as good as stopped.
  void run(const std::vector<bool>& has_watchdog, double grace_seconds, const Body& body) {
    std::vector<std::thread> ranks;
    for (int rank = 0; rank < 3; ++rank) {
      ranks.emplace_back([&, rank] {
        const CountingClock clock(time_runs);
        CollectiveLog log(clock);
        const auto traffic = watched(world.communicator(rank), log, "control");
        std::unique_ptr<Watchdog> watchdog;
        if (has_watchdog[static_cast<std::size_t>(rank)])
          watchdog =
              std::make_unique<Watchdog>(log, settings_of(rank, grace_seconds), actions_of(rank));
        try {
          body(*traffic, log);
        } catch (const CommunicationError&) {
          ++woken;
        }
      });
    }
    for (std::thread& rank : ranks) rank.join();
  }

  /// Steps 1 and 2 are whole; in step 3 the rank does not come to the all-reduce, number 5.
  Body absent_in_step_3(int absent) {
    return [this, absent](Communicator& traffic, CollectiveLog& log) {
      std::vector<float> values(3);
      for (int step = 1; step <= 3; ++step) {
        log.begin_step(step);
        if (step == 3 && traffic.rank() == absent) return stay_away();
        if (step == 3) ++arrived;
        traffic.all_reduce(buffer_of(std::span(values)), Reduction::kSum).wait();
        traffic.barrier();
      }
    };
  }

  /// Time begins when the others have come; until the job has ended.
  void stay_away() {
    while (arrived < 2) std::this_thread::yield();
    time_runs = true;
    while (world.first_failed_rank() < 0) std::this_thread::yield();
  }

  void wait_for_an_end() {
    const auto ended = [&] {
      const std::scoped_lock guard(outcome.mutex);
      return !outcome.own_ends.empty();
    };
    while (!ended()) std::this_thread::yield();
  }

  LocalWorld world{3};
  Outcome outcome;
  std::atomic<int> woken = 0;
  std::atomic<int> arrived = 0;  ///< ranks that come to step 3
  std::atomic<bool> time_runs = false;
  const TemporaryFolder folder;
};

TEST_F(WatchdogTest, a_silent_rank_is_named_with_the_collective_that_it_misses) {
  run({true, true, false}, 2, absent_in_step_3(2));
  EXPECT_EQ(woken, 2);
  EXPECT_EQ(world.first_failed_rank(), 0) << "the lowest living rank speaks";
  EXPECT_THAT(outcome.reasons,
              ElementsAre(AllOf(HasSubstr("all_reduce number 5 on control in step 3"),
                                HasSubstr("; no sign of life from rank 2"))));
  ASSERT_EQ(outcome.verdicts.size(), 1U);
  EXPECT_THAT(outcome.verdicts[0].silent, ElementsAre(2));
  EXPECT_EQ(outcome.verdicts[0].wait.sequence, 5);
  EXPECT_THAT(outcome.own_ends, IsEmpty());
  for (const int rank : {0, 1})
    EXPECT_TRUE(read_report(folder.path() / "collectives", {rank, 3, 1})) << rank;
  EXPECT_FALSE(read_report(folder.path() / "collectives", {2, 3, 1}));
}

TEST_F(WatchdogTest, when_rank_0_is_silent_the_next_one_speaks) {
  run({false, true, true}, 2, absent_in_step_3(0));
  EXPECT_EQ(world.first_failed_rank(), 1);
  EXPECT_THAT(outcome.reasons, ElementsAre(HasSubstr("; no sign of life from rank 0")));
}

// The grace is longer than any test may take: it must end as soon as all have reported.
TEST_F(WatchdogTest, a_living_rank_that_hangs_elsewhere_is_asked_and_named_as_behind) {
  run({true, true, true}, 600, absent_in_step_3(1));
  EXPECT_EQ(outcome.notes.size(), 3U);
  ASSERT_EQ(outcome.verdicts.size(), 1U);
  EXPECT_THAT(outcome.verdicts[0].silent, IsEmpty());
  EXPECT_THAT(outcome.verdicts[0].behind, ElementsAre(1));
  EXPECT_THAT(outcome.reasons,
              ElementsAre(HasSubstr("; not there: rank 1 (in no collective for ")));
  for (const int rank : {0, 1, 2})
    EXPECT_TRUE(read_report(folder.path() / "collectives", {rank, 3, 1})) << rank;
}

TEST_F(WatchdogTest, an_error_of_a_device_ends_the_job_though_no_host_waits) {
  const CountingClock clock(time_runs);
  const CollectiveLog log(clock);
  std::atomic<bool> has_failed = false;
  WatchdogSettings with_device = settings_of(1, 0.1);
  with_device.device_error = [&]() -> std::optional<std::string> {
    if (has_failed) return "all_to_all_v (operation 7) on rank 1 of 3 did not end within 5 s";
    return std::nullopt;
  };
  {
    const Watchdog lowest(log, settings_of(0, 0.1), actions_of(0));
    const Watchdog failing(log, with_device, actions_of(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_LT(world.first_failed_rank(), 0);
    has_failed = true;
    while (world.first_failed_rank() < 0) std::this_thread::yield();
  }
  EXPECT_THAT(outcome.reasons,
              ElementsAre(AllOf(HasSubstr("all_to_all_v (operation 7) on rank 1 of 3 did not end"),
                                HasSubstr("; no sign of life from rank 2"))));
}

// As a stopped rank 0 does that mpirun wakes in order to end it.
TEST_F(WatchdogTest, a_rank_that_comes_late_does_not_speak_again) {
  const CountingClock clock(time_runs);
  const CollectiveLog log(clock);
  const auto noted = [&] {
    const std::scoped_lock guard(outcome.mutex);
    return !outcome.notes.empty();
  };
  {
    const Watchdog late(log, settings_of(0, 0.1), actions_of(0));
    folder.write("collectives/verdict-1", "rank 1 has spoken\n");
    folder.write("collectives/alarm-1", "rank 1 waits\n");
    while (!noted()) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  EXPECT_THAT(outcome.verdicts, IsEmpty());
  EXPECT_THAT(outcome.reasons, IsEmpty());
  EXPECT_TRUE(read_report(folder.path() / "collectives", {0, 3, 1}));
}

TEST_F(WatchdogTest, an_alarm_of_an_earlier_run_is_forgotten_and_other_generations_reports_stay) {
  const std::filesystem::path collectives = folder.path() / "collectives";
  std::filesystem::create_directories(collectives);
  const CountingClock clock(time_runs);
  const CollectiveLog log(clock);
  folder.write("collectives/alarm-1", "old\n");
  folder.write("collectives/verdict-1", "old\n");
  folder.write("collectives/rank-0.json", report_json(report_of(log, {0, 3, 1}), log));
  folder.write("collectives/rank-1.json", report_json(report_of(log, {1, 3, 7}), log));
  {
    const Watchdog first(log, settings_of(0, 0.5), actions_of(0));
    const Watchdog second(log, settings_of(1, 0.5), actions_of(1));
    EXPECT_FALSE(read_report(collectives, {0, 3, 1}));
    EXPECT_TRUE(read_report(collectives, {1, 3, 7}));
    EXPECT_FALSE(std::filesystem::exists(collectives / "verdict-1"));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  EXPECT_THAT(outcome.notes, IsEmpty());
}

TEST_F(WatchdogTest, a_folder_that_cannot_be_made_is_an_error_that_names_it) {
  folder.write("collectives", "a file\n");
  const CountingClock clock(time_runs);
  const CollectiveLog log(clock);
  EXPECT_THAT(message_of<StorageError>(
                  [&] { const Watchdog watchdog(log, settings_of(0, 0.5), actions_of(0)); }),
              HasSubstr((folder.path() / "collectives").string()));
}

// A pipe that nobody reads stands for a disk that hangs: opening it for writing blocks.
TEST_F(WatchdogTest, a_disk_that_hangs_does_not_keep_the_process) {
  const CountingClock clock(time_runs);
  CollectiveLog log(clock);
  CollectiveLog::Channel& channel = log.add_communicator("control", 3);
  CollectiveRecord record = log.start(channel, "broadcast", 8);
  WatchdogSettings settings = settings_of(1, 0.1);
  settings.leave_seconds = 0.3;
  int reader = -1;
  {
    const Watchdog watchdog(log, settings, actions_of(1));
    const std::string pipe =
        folder / ("collectives/.rank-1.json.part-" + std::to_string(::getpid()));
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    log.begin_wait(record);
    time_runs = true;
    wait_for_an_end();
    reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);  // lets the thread go
  }
  ::close(reader);
  EXPECT_THAT(outcome.own_ends.front(), HasSubstr("broadcast number 1 on control"));
  EXPECT_THAT(outcome.reasons, IsEmpty());
}

// A folder that goes away stands for a disk that fails: the rank still ends, with what it knows.
TEST_F(WatchdogTest, a_report_that_cannot_be_written_ends_the_process) {
  const CountingClock clock(time_runs);
  CollectiveLog log(clock);
  CollectiveLog::Channel& channel = log.add_communicator("control", 3);
  CollectiveRecord record = log.start(channel, "broadcast", 8);
  {
    const Watchdog watchdog(log, settings_of(1, 0.5), actions_of(1));
    std::filesystem::remove_all(folder.path() / "collectives");
    log.begin_wait(record);
    time_runs = true;
    wait_for_an_end();
  }
  EXPECT_THAT(outcome.own_ends,
              ElementsAre(AllOf(HasSubstr("broadcast number 1 on control before the first step"),
                                HasSubstr("train.first_collective_seconds 40"),
                                HasSubstr("cannot write"))));
}

}  // namespace
}  // namespace hetmoe
