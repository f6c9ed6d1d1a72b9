#include "runtime/calibration/measurement.h"

#include <gtest/gtest.h>

#include "parallel/communicator/local_communicator.h"

namespace hetmoe {
namespace {

class StoppedClock final : public Clock {
 public:
  double monotonic_seconds() const override { return now; }
  double wall_seconds() const override { return 0; }
  mutable double now = 0;
};

TEST(Measurement, SecondsOfIsTheClocksDifference) {
  const auto world = LocalWorld(1).communicator(0);
  const StoppedClock clock;
  const Measurement measurement(*world, clock);
  EXPECT_EQ(measurement.seconds_of([&] { clock.now += 2.5; }), 2.5);
}

TEST(Measurement, TheWarmUpDoesNotCount) {
  const auto world = LocalWorld(1).communicator(0);
  const StoppedClock clock;
  Measurement measurement(*world, clock);
  // Slower than the time allowed, so one warm-up and one repetition.
  const double seconds[] = {100, 3};
  std::size_t next = 0;
  const auto medians = measurement.medians(0.5, [&] {
    const double run = seconds[next++];
    return std::vector<double>{run, 2 * run};
  });
  EXPECT_EQ(next, 2U);
  EXPECT_EQ(medians, (std::vector<double>{3, 6}));
}

TEST(Measurement, TheMedianIsOverRepetitions) {
  const auto world = LocalWorld(1).communicator(0);
  const StoppedClock clock;
  Measurement measurement(*world, clock);
  const double seconds[] = {9, 1, 70, 2, 3};  // 9 and 1 are warm-ups; 1 fits ten times
  std::size_t next = 0;
  const auto medians =
      measurement.medians(10, [&] { return std::vector<double>{seconds[next++ % 5]}; });
  EXPECT_EQ(medians, std::vector<double>{3});  // of 70, 2, 3, 9, 1, twice
  EXPECT_EQ(next, 12U);
}

TEST(Measurement, RepeatsUntilTheTimeIsUp) {
  const auto world = LocalWorld(1).communicator(0);
  const StoppedClock clock;
  Measurement measurement(*world, clock);
  int runs = 0;
  EXPECT_EQ(measurement.median(20, [&] { clock.now += 1, ++runs; }), 1);
  EXPECT_EQ(runs, 2 + 20);
}

TEST(Measurement, EachPartIsThatOfTheSlowestRankAndAllRepeatEquallyOften) {
  run_ranks(3, [](Communicator& world) {
    const StoppedClock clock;
    Measurement measurement(world, clock);
    int runs = 0;
    // Rank 2 takes 3 seconds in the first part, rank 0 takes 12 in the second; 13 in all at most.
    const auto medians = measurement.medians(100, [&] {
      ++runs;
      return std::vector<double>{1.0 + world.rank(), 12.0 - 2 * world.rank()};
    });
    EXPECT_EQ(medians, (std::vector<double>{3, 12}));
    EXPECT_EQ(runs, 2 + 8);
  });
}

TEST(Measurement, WhatTheClockCannotSeeIsNotZero) {
  const auto world = LocalWorld(1).communicator(0);
  const StoppedClock clock;
  Measurement measurement(*world, clock);
  EXPECT_GT(measurement.median(1, [] {}), 0);
}

}  // namespace
}  // namespace hetmoe
