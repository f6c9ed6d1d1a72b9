#include "core/base/median.h"

#include <gtest/gtest.h>

namespace hetmoe {
namespace {

TEST(Median, IsTheMiddleWhateverTheOrder) {
  EXPECT_EQ(median({5, -1, 3}), 3);
  EXPECT_EQ(median({7}), 7);
  EXPECT_EQ(median({2, 2, 9, 1, 2}), 2);
}

TEST(Median, OfAnEvenNumberIsTheUpperOfTheTwoInTheMiddle) {
  EXPECT_EQ(median({4, 1, 3, 2}), 3);
  EXPECT_EQ(median({2, 1}), 2);
}

TEST(Median, OfNothingIsZero) { EXPECT_EQ(median({}), 0); }

}  // namespace
}  // namespace hetmoe
