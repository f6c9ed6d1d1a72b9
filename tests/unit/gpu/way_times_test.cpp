#include "tests/bench/way_times.h"

#include <gtest/gtest.h>

namespace hetmoe::test {
namespace {

using gpu::ProductWay;

TEST(WayTimes, name_the_fastest_over_all_calls) {
  bench::WayTimes times;
  times.add(0, 3, true);
  times.add(1, 2, true);
  times.add(2, 1, true);
  EXPECT_EQ(times.fastest(), ProductWay::kCutlass);
  times.add(0, 1, true);
  times.add(1, 1, true);
  times.add(2, 9, true);
  EXPECT_EQ(times.fastest(), ProductWay::kBatched);
}

TEST(WayTimes, never_name_a_way_that_left_a_call_to_others) {
  bench::WayTimes times;
  times.add(0, 3, true);
  EXPECT_EQ(times.fastest(), ProductWay::kStreams);
  times.add(1, 2, true);
  EXPECT_EQ(times.fastest(), ProductWay::kBatched);
  times.add(0, 3, true);
  EXPECT_EQ(times.fastest(), ProductWay::kStreams);
}

TEST(WayTimes, never_name_a_way_that_was_wrong_once) {
  bench::WayTimes times;
  for (const bool is_right : {true, false, true}) {
    times.add(0, 3, true);
    times.add(1, 2, true);
    times.add(2, 1, is_right);
  }
  EXPECT_EQ(times.fastest(), ProductWay::kBatched);
  times.add(1, 1, false);
  EXPECT_EQ(times.fastest(), ProductWay::kStreams);
}

}  // namespace
}  // namespace hetmoe::test
