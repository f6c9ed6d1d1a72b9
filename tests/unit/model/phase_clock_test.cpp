#include "core/tensor/phase_clock.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/support/hand_clock.h"

namespace hetmoe {
namespace {

using test::HandClock;

double of(const SecondsOfPhases& seconds, Phase phase) {
  return seconds[static_cast<std::size_t>(phase)];
}

TEST(PhaseClock, every_moment_belongs_to_one_phase_and_what_lies_between_steps_to_none) {
  HandClock hand;
  PhaseClock clock(make_host_work_clock(hand));
  clock.enter(Phase::kForward);
  hand.seconds += 3;
  {
    const PhaseScope expert(&clock, Phase::kExpert);
    hand.seconds += 5;
    const PhaseScope wait(&clock, Phase::kDispatchWait);
    hand.seconds += 7;
  }
  hand.seconds += 11;
  clock.enter(Phase::kBackward);
  hand.seconds += 13;
  const SecondsOfPhases first = clock.take();
  EXPECT_DOUBLE_EQ(of(first, Phase::kForward), 14);
  EXPECT_DOUBLE_EQ(of(first, Phase::kExpert), 5);
  EXPECT_DOUBLE_EQ(of(first, Phase::kDispatchWait), 7);
  EXPECT_DOUBLE_EQ(of(first, Phase::kBackward), 13);
  hand.seconds += 1000;
  clock.enter(Phase::kForward);
  hand.seconds += 2;
  const SecondsOfPhases second = clock.take();
  EXPECT_DOUBLE_EQ(of(second, Phase::kForward), 2);
  EXPECT_DOUBLE_EQ(of(second, Phase::kBackward), 0);
  EXPECT_DOUBLE_EQ(of(clock.take(), Phase::kForward), 0);
}

TEST(PhaseClock, a_scope_without_a_clock_is_nothing) {
  const PhaseScope scope(nullptr, Phase::kExpert);
  SUCCEED();
}

/// Work of which the first marks alone have been reached, a second between each two.
class SlowWork final : public WorkClock {
 public:
  explicit SlowWork(std::size_t& done) : done_(done) {}
  std::size_t mark() override { return marks_++; }
  std::size_t marks() const override { return marks_; }
  double seconds_between(std::size_t earlier, std::size_t later) const override {
    EXPECT_LT(before_ + later, done_);
    return static_cast<double>(later - earlier);
  }
  void wait() override { FAIL() << "the host must not wait"; }
  bool reached(std::size_t mark) const override { return before_ + mark < done_; }
  void forget_before(std::size_t mark) override {
    before_ += mark;
    marks_ -= mark;
  }

 private:
  std::size_t& done_;
  std::size_t before_ = 0;
  std::size_t marks_ = 0;
};

/// A device that has failed fails in every call.
class FailedWork final : public WorkClock {
 public:
  std::size_t mark() override {
    if (++marks_ > 2) throw std::runtime_error("mark");
    return marks_ - 1;
  }
  std::size_t marks() const override { return marks_; }
  double seconds_between(std::size_t, std::size_t) const override { return 0; }
  void wait() override {}
  bool reached(std::size_t) const override { return false; }
  void forget_before(std::size_t) override {}

 private:
  std::size_t marks_ = 0;
};

TEST(PhaseClock, a_failure_within_a_phase_is_the_one_that_is_told) {
  PhaseClock clock(std::make_unique<FailedWork>());
  clock.enter(Phase::kForward);
  try {
    const PhaseScope expert(&clock, Phase::kExpert);
    throw std::runtime_error("expert");
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "expert");
  }
  EXPECT_EQ(clock.phase(), Phase::kExpert);
}

TEST(PhaseClock, what_cannot_be_marked_at_the_end_of_a_phase_is_an_error_like_any_other) {
  PhaseClock clock(std::make_unique<FailedWork>());
  clock.enter(Phase::kForward);
  EXPECT_THROW({ const PhaseScope expert(&clock, Phase::kExpert); }, std::runtime_error);
}

TEST(PhaseClock, what_has_not_ended_is_told_later) {
  std::size_t done = 2;
  PhaseClock clock(std::make_unique<SlowWork>(done));
  clock.enter(Phase::kForward);
  clock.enter(Phase::kGradients);
  clock.enter(Phase::kOptimizer);
  const SecondsOfPhases first = clock.take();
  EXPECT_DOUBLE_EQ(of(first, Phase::kForward), 1);
  EXPECT_DOUBLE_EQ(of(first, Phase::kGradients), 0);
  clock.enter(Phase::kForward);
  done = 6;
  const SecondsOfPhases second = clock.take();
  EXPECT_DOUBLE_EQ(of(second, Phase::kGradients), 1);
  EXPECT_DOUBLE_EQ(of(second, Phase::kOptimizer), 1);
  EXPECT_DOUBLE_EQ(of(second, Phase::kForward), 1);
}

}  // namespace
}  // namespace hetmoe
