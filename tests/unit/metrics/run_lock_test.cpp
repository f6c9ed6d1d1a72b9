#include "runtime/metrics/run_lock.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/metrics/run_lock_test_support.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// A folder, and tries to lock it on a clock that runs.
class RunLockTest : public ::testing::Test {
 protected:
  std::string refusal(const RunLockOptions& options = quick()) {
    try {
      RunLock(directory_, self_, clock_, options);
    } catch (const StorageError& error) {
      return error.what();
    }
    return "";
  }

  std::optional<LockHolder> held() const {
    return read_lock_holder(contents_of(directory_.lock_file()));
  }

  /// Blocking, but not for long where `done` comes true.
  static bool comes_true(const std::function<bool()>& done) {
    for (int attempt = 0; attempt < 3000; ++attempt) {
      if (done()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  TemporaryFolder folder_;
  RunDirectory directory_ = RunDirectory::open(folder_.path());
  LockHolder self_ = here();
  RunningClock clock_;
};

TEST_F(RunLockTest, NamesItsHolderWhileItLives) {
  self_.slurm_job = "7";
  {
    const RunLock lock(directory_, self_, clock_, quick());
    EXPECT_EQ(lock.taken_over(), "");
    EXPECT_EQ(lock.generation(), 1);
    EXPECT_FALSE(lock.lost());
    const auto holder = held();
    ASSERT_TRUE(holder);
    EXPECT_TRUE(same_holding(*holder, self_));
    EXPECT_EQ(holder->slurm_job, "7");
    EXPECT_EQ(holder->beat, 0);
  }
  EXPECT_FALSE(fs::exists(directory_.lock_file()));
  EXPECT_EQ(clock_.passed_seconds(), 0.5) << "a free lock is not watched";
}

TEST_F(RunLockTest, MayBeReleasedTwice) {
  RunLock lock(directory_, self_, clock_, quick());
  lock.release();
  EXPECT_FALSE(fs::exists(directory_.lock_file()));
  const RunLock next(directory_, self_, clock_, quick());
  lock.release();
  EXPECT_TRUE(fs::exists(directory_.lock_file()));
}

TEST_F(RunLockTest, BeatsUntilItIsReleased) {
  RunLock lock(directory_, self_, clock_, lively());
  EXPECT_TRUE(comes_true([&] {
    const auto holder = held();
    return holder && holder->beat >= 3;
  }));
  EXPECT_FALSE(lock.lost());
  lock.release();
  EXPECT_FALSE(fs::exists(directory_.lock_file()));
}

TEST_F(RunLockTest, RefusesALivingHolderByName) {
  LockHolder other = stranger();
  put(directory_, other);
  clock_.on_look = [&](double) {
    ++other.beat;
    put(directory_, other);
  };
  EXPECT_EQ(refusal(), "run directory '" + folder_.path().string() +
                           "' is in use by process 12 on host far (Slurm job 7, generation 3): "
                           "stop that run first, or give another --run-dir");
  EXPECT_TRUE(same_holding(*held(), other)) << "what was refused changes nothing";
}

TEST_F(RunLockTest, RefusesASecondRunOfTheSameProcess) {
  const RunLock lock(directory_, self_, clock_, lively());
  const SystemClock clock;
  try {
    RunLock(directory_, self_, clock, lively());
    FAIL();
  } catch (const StorageError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("process " + std::to_string(::getpid())),
                                    HasSubstr("no Slurm job, generation 1")));
  }
  EXPECT_FALSE(lock.lost());
}

TEST_F(RunLockTest, ALifeSignInTheLastSecondCounts) {
  put(directory_, stranger());
  clock_.on_look = [&, begin = clock_.monotonic_seconds()](double now) {
    if (now - begin < 59.5) return;
    LockHolder other = stranger();
    ++other.beat;
    put(directory_, other);
  };
  EXPECT_THAT(refusal(), HasSubstr("is in use by process 12 on host far"));
}

TEST_F(RunLockTest, IsTakenOverAfterAMinuteOfSilence) {
  put(directory_, stranger());
  std::vector<std::string> waited;
  RunLockOptions options = quick();
  options.on_wait = [&](const std::string& line) { waited.push_back(line); };
  const RunLock lock(directory_, self_, clock_, options);
  EXPECT_GE(clock_.passed_seconds(), 60);
  EXPECT_LT(clock_.passed_seconds(), 62);
  EXPECT_EQ(lock.taken_over(),
            "taken over from process 12 on host far (Slurm job 7, generation 3): silent for 60 s");
  EXPECT_EQ(lock.generation(), 4);
  EXPECT_THAT(waited, testing::ElementsAre(HasSubstr(
                          "is locked by process 12 on host far (Slurm job 7, generation 3): "
                          "watching it for 60 s")));
}

TEST_F(RunLockTest, IsTakenAtOnceWhenItGoesWhileItIsWatched) {
  put(directory_, stranger());
  clock_.on_look = [&](double) { fs::remove(directory_.lock_file()); };
  const RunLock lock(directory_, self_, clock_, quick());
  EXPECT_EQ(lock.taken_over(), "");
  EXPECT_LT(clock_.passed_seconds(), 3);
}

TEST_F(RunLockTest, IsTakenOverAtOnceWhenItsProcessDiesWhileItIsWatched) {
  Child child([] { ::pause(); });
  LockHolder holder = self_;
  holder.process = child.process();
  holder.process_start = 0;
  put(directory_, holder);
  clock_.on_look = [&, begin = clock_.monotonic_seconds()](double now) {
    if (now - begin > 5) child.kill();
  };
  const RunLock lock(directory_, self_, clock_, quick());
  EXPECT_GT(clock_.passed_seconds(), 5);
  EXPECT_LT(clock_.passed_seconds(), 8);
  EXPECT_THAT(lock.taken_over(), HasSubstr("that process is gone"));
}

TEST_F(RunLockTest, AfterKill9TheNextRunStartsAtOnce) {
  Pipe pipe;
  Child child([&] {
    const SystemClock clock;
    const RunLock lock(directory_, this_process(), clock, lively());
    pipe.put('L');
    ::pause();
  });
  ASSERT_EQ(pipe.get(), 'L');
  const std::string process = std::to_string(child.process());
  child.kill();
  const RunLock lock(directory_, self_, clock_, quick());
  EXPECT_EQ(clock_.passed_seconds(), 0.5);
  EXPECT_THAT(lock.taken_over(),
              AllOf(HasSubstr("process " + process), HasSubstr("that process is gone")));
  EXPECT_EQ(lock.generation(), 2);
}

TEST_F(RunLockTest, DamageIsWatchedLikeAHolderThatCannotBeNamed) {
  for (const std::string text : {"", "{\"host\":\"n", "[1]"}) {
    put(directory_.lock_file(), text);
    const double before = clock_.passed_seconds();
    const RunLock lock(directory_, self_, clock_, quick());
    EXPECT_EQ(lock.taken_over(), "taken over from a damaged lock.json: silent for 60 s");
    EXPECT_GE(clock_.passed_seconds() - before, 60);
  }
  put(directory_.lock_file(), "{");
  clock_.on_look = [&](double now) { put(directory_.lock_file(), std::to_string(now)); };
  EXPECT_THAT(refusal(), HasSubstr("is in use by a process that changes a damaged lock.json"));
}

TEST_F(RunLockTest, IsLostToWhoeverTakesItOver) {
  self_.launch_id = "launch";
  RunLock lock(directory_, self_, clock_, lively());
  LockHolder other = self_;
  other.host = "far";
  const RunLock taker(directory_, other, clock_, quick());
  ASSERT_TRUE(comes_true([&] { return lock.lost(); }));
  EXPECT_THAT(lock.lost_text(), AllOf(HasSubstr("' was lost to process "), HasSubstr("on host far"),
                                      HasSubstr("generation 2")));
  lock.release();
  ASSERT_TRUE(held()) << "the other's lock stays";
  EXPECT_EQ(held()->host, "far");
  EXPECT_FALSE(taker.lost());
}

TEST_F(RunLockTest, IsLostWhenTheFileIsRemovedOrDamaged) {
  for (const bool removed : {true, false}) {
    RunLock lock(directory_, self_, clock_, lively());
    EXPECT_EQ(lock.lost_text(), "");
    // The refresher may be writing just now; it then finds the damage of the next attempt.
    ASSERT_TRUE(comes_true([&] {
      if (removed) {
        fs::remove(directory_.lock_file());
      } else {
        put(directory_.lock_file(), "{");
      }
      return lock.lost();
    }));
    EXPECT_THAT(lock.lost_text(),
                HasSubstr(removed ? "somebody who removed lock.json" : "a damaged lock.json"));
    lock.release();
    fs::remove(directory_.lock_file());
  }
}

TEST_F(RunLockTest, IsNotLostWhileAnotherOnlyLooksAtIt) {
  const RunLock lock(directory_, self_, clock_, lively());
  const SystemClock clock;
  for (int look = 0; look < 20; ++look) {
    EXPECT_THROW(RunLock(directory_, stranger(), clock, lively()), StorageError);
  }
  EXPECT_FALSE(lock.lost());
}

TEST_F(RunLockTest, CountsGenerationsFromTheEventsToo) {
  put(directory_.events_file(), "{\"generation\":8,\"event\":\"started\"}\n");
  put(directory_, stranger());
  self_.slurm_job = stranger().slurm_job;
  {
    const RunLock lock(directory_, self_, clock_, quick());
    EXPECT_EQ(lock.generation(), 9);
    EXPECT_EQ(held()->generation, 9);
    EXPECT_THAT(lock.taken_over(), HasSubstr("this is the same Slurm job"));
  }
  LockHolder later = stranger();
  later.generation = 20;
  put(directory_, later);
  const RunLock lock(directory_, self_, clock_, quick());
  EXPECT_EQ(lock.generation(), 21);
}

TEST_F(RunLockTest, TheLastGenerationIsNotFollowedByAnother) {
  put(directory_.events_file(), "{\"generation\":1000000000}\n");
  EXPECT_EQ(refusal(), "run directory '" + folder_.path().string() +
                           "' has generation 1000000000, allowed: below 1000000000");
  EXPECT_FALSE(fs::exists(directory_.lock_file()));
}

TEST_F(RunLockTest, WhoHoldsTheGuardTooLongIsNamed) {
  const std::string guard = folder_ / "lock.guard";
  const int descriptor = ::open(guard.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_GE(descriptor, 0);
  ASSERT_EQ(::flock(descriptor, LOCK_EX), 0);
  EXPECT_EQ(refusal({.guard_seconds = 0.03}),
            "cannot lock '" + guard + "': another process has held it for 0 s");
  ::close(descriptor);
  EXPECT_EQ(refusal(), "");
}

TEST_F(RunLockTest, NamesAFolderThatCannotBeLocked) {
  const fs::path missing = folder_.path() / "missing";
  try {
    RunLock(RunDirectory::open(missing), self_, clock_, quick());
    FAIL();
  } catch (const StorageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("missing/lock.guard': No such file or directory"));
  }
}

TEST_F(RunLockTest, TellsItsOwnLockFromAnothers) {
  EXPECT_FALSE(locked_by_another(directory_));
  {
    const RunLock lock(directory_, self_, clock_, quick());
    EXPECT_FALSE(locked_by_another(directory_));
  }
  put(directory_, stranger());
  EXPECT_TRUE(locked_by_another(directory_));
  put(directory_.lock_file(), "{");
  EXPECT_TRUE(locked_by_another(directory_));
}

TEST_F(RunLockTest, ALaterGenerationSpeaksForTheFolderAlone) {
  const auto writes = [&](int generation) {
    bool ran = false;
    EXPECT_EQ(write_as_generation(directory_, generation, [&] { ran = true; }), ran);
    return ran;
  };
  EXPECT_TRUE(writes(1)) << "no lock and no events: the run has ended by itself";
  {
    self_.generation = 1;
    const RunLock first(directory_, self_, clock_, quick());
    EXPECT_TRUE(writes(1));
  }
  LockHolder later = stranger();
  put(directory_, later);
  EXPECT_FALSE(writes(2));
  EXPECT_TRUE(writes(3));
  put(directory_.events_file(), "{\"generation\":4,\"event\":\"started\"}\n");
  EXPECT_FALSE(writes(3));
  fs::remove(directory_.lock_file());
  EXPECT_FALSE(writes(3)) << "the later run has ended";
  EXPECT_TRUE(writes(4));
  put(directory_.lock_file(), "damaged");
  EXPECT_TRUE(writes(4));
}

TEST_F(RunLockTest, NobodyTakesTheFolderWhileAGenerationSpeaks) {
  write_as_generation(directory_, 1, [&] {
    RunLockOptions options = quick();
    options.guard_seconds = 0;
    EXPECT_THAT(refusal(options), HasSubstr("lock.guard"));
  });
  EXPECT_EQ(refusal(), "");
}

}  // namespace
}  // namespace hetmoe
