#include "runtime/trainer/load_average.h"

#include <gtest/gtest.h>

namespace hetmoe {
namespace {

TEST(LoadAverage, IsTheMeanOfFewSteps) {
  LoadAverage average;
  EXPECT_TRUE(average.tokens().empty());
  average.add({{1, 0}, {10, 4}});
  average.add({{2, 0}, {30, 4}});
  average.add({{6, 3}, {20, 4}});
  EXPECT_EQ(average.tokens(), (Loads{{3, 1}, {20, 4}}));
}

TEST(LoadAverage, ForgetsWhatWasLongAgo) {
  LoadAverage average;
  for (int step = 0; step < 100; ++step) average.add({{1000, 0}});
  for (int step = 0; step < 1000; ++step) average.add({{0, 1000}});
  EXPECT_EQ(average.tokens(), (Loads{{0, 1000}}));
}

TEST(LoadAverage, GoesOnFromWhatWasSaved) {
  LoadAverage average;
  average.restore({{50, 70}});
  EXPECT_EQ(average.tokens(), (Loads{{50, 70}}));
  average.add({{150, 70}});
  EXPECT_EQ(average.tokens(), (Loads{{51, 70}}));  // one step of a hundred
}

}  // namespace
}  // namespace hetmoe
