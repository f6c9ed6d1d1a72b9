#include "core/optim/schedule.h"

#include <gtest/gtest.h>

namespace hetmoe {
namespace {

TEST(LearningRateSchedule, RisesLinearlyFromZeroAndStaysConstant) {
  const LearningRateSchedule schedule{.peak = 8e-4, .warmup_steps = 4, .total_steps = 10};
  EXPECT_DOUBLE_EQ(schedule.at(1), 2e-4);
  EXPECT_DOUBLE_EQ(schedule.at(2), 4e-4);
  EXPECT_DOUBLE_EQ(schedule.at(3), 6e-4);
  for (int step = 4; step <= 10; ++step) EXPECT_EQ(schedule.at(step), 8e-4) << step;
}

TEST(LearningRateSchedule, WithoutWarmupStartsAtThePeak) {
  EXPECT_EQ((LearningRateSchedule{.peak = 0.5, .total_steps = 3}.at(1)), 0.5);
}

TEST(LearningRateSchedule, CosineEndsAtItsRatioAndIsHalfWayInTheMiddle) {
  const LearningRateSchedule schedule{
      .peak = 2.0, .warmup_steps = 10, .cosine = true, .final_ratio = 0.1, .total_steps = 110};
  EXPECT_DOUBLE_EQ(schedule.at(5), 1.0);
  EXPECT_DOUBLE_EQ(schedule.at(10), 2.0);
  EXPECT_DOUBLE_EQ(schedule.at(60), 1.1);  // the mean of 2.0 and 0.2
  EXPECT_DOUBLE_EQ(schedule.at(110), 0.2);
  // A third of the way the cosine has fallen a quarter: cos 60 degrees = 1/2.
  const LearningRateSchedule thirds{.peak = 1.0, .cosine = true, .total_steps = 3};
  EXPECT_NEAR(thirds.at(1), 0.75, 1e-15);
  EXPECT_NEAR(thirds.at(2), 0.25, 1e-15);
  EXPECT_NEAR(thirds.at(3), 0.0, 1e-15);
}

TEST(LearningRateSchedule, CosineNeverRisesAfterTheWarmup) {
  const LearningRateSchedule schedule{
      .peak = 1.0, .warmup_steps = 3, .cosine = true, .final_ratio = 0.25, .total_steps = 40};
  for (int step = 4; step <= 60; ++step) {
    EXPECT_LE(schedule.at(step), schedule.at(step - 1)) << step;
    EXPECT_GE(schedule.at(step), 0.25) << step;
  }
}

TEST(LearningRateSchedule, WarmupMayBeAsLongAsTheRunOrLonger) {
  for (const bool cosine : {false, true}) {
    const LearningRateSchedule equal{
        .peak = 1.0, .warmup_steps = 5, .cosine = cosine, .total_steps = 5};
    EXPECT_DOUBLE_EQ(equal.at(4), 0.8);
    EXPECT_DOUBLE_EQ(equal.at(5), 1.0);
    const LearningRateSchedule longer{
        .peak = 1.0, .warmup_steps = 50, .cosine = cosine, .total_steps = 5};
    EXPECT_DOUBLE_EQ(longer.at(5), 0.1);
  }
}

}  // namespace
}  // namespace hetmoe
