#include "runtime/metrics/lock_holder.h"

#include <gmock/gmock.h>
#include <stdlib.h>  // setenv

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/unit/metrics/run_lock_test_support.h"

namespace hetmoe {
namespace {

using nlohmann::json;

/// A process of this host that sleeps.
LockHolder holder_of(const Child& child) {
  LockHolder holder = here();
  holder.process = child.process();
  holder.process_start = 0;
  return holder;
}

TEST(LockHolder, IsThisProcess) {
  ASSERT_EQ(::setenv("SLURM_JOB_ID", "42_7", 1), 0);
  ASSERT_EQ(::setenv("HETMOE_LAUNCH_ID", "line\nbreak", 1), 0);
  const LockHolder self = this_process();
  ::unsetenv("SLURM_JOB_ID");
  ::unsetenv("HETMOE_LAUNCH_ID");
  EXPECT_EQ(self.process, ::getpid());
  EXPECT_GT(self.process_start, 0);
  EXPECT_FALSE(self.host.empty());
  EXPECT_EQ(self.slurm_job, "42_7");
  EXPECT_EQ(self.launch_id, "") << "what is not printable would break one-line messages";
  EXPECT_EQ(this_process().slurm_job, "");
}

TEST(LockHolder, StartsWhenTheProcessStarted) {
  const LockHolder self = this_process();
  std::int64_t start = 0;
  Pipe pipe;
  Child child([&] {
    const LockHolder child_self = this_process();
    for (const char c : std::to_string(child_self.process_start)) pipe.put(c);
  });
  pipe.close_writing();
  for (char c = pipe.get(); c != '\0'; c = pipe.get()) start = 10 * start + (c - '0');
  EXPECT_GE(start, self.process_start);
  // Ticks are hundredths of a second; tests do not run for a day.
  EXPECT_LT(start - self.process_start, 86400 * 100);
}

TEST(LockHolder, ReadsBackAsWritten) {
  const auto read = read_lock_holder(write_lock_holder(stranger()));
  ASSERT_TRUE(read);
  EXPECT_EQ(write_lock_holder(*read), write_lock_holder(stranger()));
  EXPECT_TRUE(same_holding(*read, stranger()));
  EXPECT_EQ(read->slurm_job, "7");
  EXPECT_EQ(read->launch_id, "launch");
  EXPECT_EQ(read->beat, 5);
}

TEST(LockHolder, BeatsAndJobsDoNotMakeAnotherHolding) {
  LockHolder other = stranger();
  other.beat = 99;
  EXPECT_TRUE(same_holding(stranger(), other));
  for (const auto& change : std::vector<std::function<void(LockHolder&)>>{
           [](LockHolder& holder) { holder.host = "near"; },
           [](LockHolder& holder) { holder.process_table = "this boot"; },
           [](LockHolder& holder) { ++holder.process; },
           [](LockHolder& holder) { ++holder.process_start; },
           [](LockHolder& holder) { ++holder.generation; }}) {
    LockHolder changed = stranger();
    change(changed);
    EXPECT_FALSE(same_holding(stranger(), changed)) << changed.text();
  }
}

TEST(LockHolder, DamagedTextIsNobody) {
  const json good = json::parse(write_lock_holder(stranger()));
  ASSERT_TRUE(read_lock_holder(good.dump()));
  for (const auto& [key, value] : good.items()) {
    json missing = good;
    missing.erase(key);
    EXPECT_FALSE(read_lock_holder(missing.dump())) << key;
    json other_type = good;
    other_type[key] = value.is_string() ? json(1) : json("1");
    EXPECT_FALSE(read_lock_holder(other_type.dump())) << key;
    json out_of_bounds = good;
    out_of_bounds[key] = value.is_string() ? json(std::string(300, 'a')) : json(-1);
    EXPECT_FALSE(read_lock_holder(out_of_bounds.dump())) << key;
  }
  json hostile = good;
  hostile["host"] = "a\nb";
  EXPECT_FALSE(read_lock_holder(hostile.dump()));
  hostile = good;
  hostile["process"] = 1LL << 40;
  EXPECT_FALSE(read_lock_holder(hostile.dump()));
  hostile = good;
  hostile["beat"] = 1.5;
  EXPECT_FALSE(read_lock_holder(hostile.dump()));
  for (const std::string text : {"", "{", "[]", "null", "\xff", "{\"host\":"}) {
    EXPECT_FALSE(read_lock_holder(text)) << text;
  }
  EXPECT_FALSE(read_lock_holder(good.dump() + std::string(kLongestLockBytes, ' ')));
  EXPECT_FALSE(read_lock_holder(std::string(50000, '[')));
}

TEST(LockHolder, ALivingProcessOfThisHostIsNotTakenOver) {
  const Child child([] { ::pause(); });
  EXPECT_FALSE(reason_to_take_over(holder_of(child), here()));
  EXPECT_FALSE(reason_to_take_over(here(), here()));
}

TEST(LockHolder, AKilledProcessOfThisHostIsTakenOver) {
  Child child([] { ::pause(); });
  const LockHolder holder = holder_of(child);
  child.kill();
  EXPECT_EQ(reason_to_take_over(holder, here()), "that process is gone");
}

TEST(LockHolder, AKilledProcessThatNobodyWaitedForIsTakenOver) {
  Child child([] { ::pause(); });
  child.kill(/*reaped=*/false);
  ASSERT_EQ(::kill(child.process(), 0), 0) << "the number is still in use";
  EXPECT_EQ(reason_to_take_over(holder_of(child), here()), "that process is gone");
}

TEST(LockHolder, AReusedProcessNumberIsTakenOver) {
  LockHolder earlier = here();
  --earlier.process_start;
  EXPECT_EQ(reason_to_take_over(earlier, here()), "that process is gone");
}

TEST(LockHolder, AProcessNumberOfAnotherHostSaysNothing) {
  Child child([] { ::pause(); });
  LockHolder holder = holder_of(child);
  child.kill();
  holder.host = "far";
  EXPECT_FALSE(reason_to_take_over(holder, here()));
  holder.host = here().host;
  holder.process_table = "a container of the same name";
  EXPECT_FALSE(reason_to_take_over(holder, here()));
}

TEST(LockHolder, TheSameJobOrLaunchOnAnotherHostIsTakenOver) {
  LockHolder self = here();
  EXPECT_FALSE(reason_to_take_over(stranger(), self));
  self.slurm_job = "7";
  EXPECT_EQ(reason_to_take_over(stranger(), self), "this is the same Slurm job");
  self.slurm_job = "8";
  self.launch_id = "launch";
  EXPECT_EQ(reason_to_take_over(stranger(), self), "this is the same launch");
}

TEST(LockHolder, NoJobIsNotTheSameJob) {
  LockHolder holder = stranger();
  holder.slurm_job = "";
  holder.launch_id = "";
  EXPECT_FALSE(reason_to_take_over(holder, here()));
}

TEST(LockHolder, TheSameJobOnThisHostIsTakenOverWhenItsProcessIsGoneOnly) {
  Child child([] { ::pause(); });
  LockHolder holder = holder_of(child);
  LockHolder self = here();
  holder.slurm_job = self.slurm_job = "7";
  holder.launch_id = self.launch_id = "launch";
  EXPECT_FALSE(reason_to_take_over(holder, self));
  child.kill();
  EXPECT_TRUE(reason_to_take_over(holder, self));
}

}  // namespace
}  // namespace hetmoe
