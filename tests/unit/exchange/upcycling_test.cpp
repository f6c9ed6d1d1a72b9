#include "runtime/exchange/upcycling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hetmoe {
namespace {

using ::testing::ElementsAre;

TEST(Upcycling, GoesThroughTheDenseUnitsInTurn) {
  const Upcycling upcycling{.widths = {2, 4, 3}, .top_k = 2};
  const std::vector<float> dense = {10, 11, 20, 21, 30, 31};  // 3 units of 2
  EXPECT_EQ(first_unit(upcycling, 0), 0);
  EXPECT_EQ(first_unit(upcycling, 2), 6);
  EXPECT_THAT(wrapped_rows(dense, 2, first_unit(upcycling, 1), 4, 0.5),
              ElementsAre(15, 15.5, 5, 5.5, 10, 10.5, 15, 15.5));
}

TEST(Upcycling, ScalesAnExpertsSumToThatOfTheDenseOne) {
  EXPECT_DOUBLE_EQ(down_scale({.widths = {2, 4, 12}, .top_k = 2}, 1, 6), 1.5);
  EXPECT_DOUBLE_EQ(down_scale({.widths = {2, 4, 12}, .top_k = 2}, 2, 6), 0.5);
  EXPECT_DOUBLE_EQ(down_scale({.widths = {2, 4, 12}, .top_k = 1}, 1, 6), 4.5);
}

TEST(Upcycling, PenalisesSizeOnlyWhereSizesDiffer) {
  ModelConfig dense;
  dense.experts = {.count = 1, .widths = {6}};
  const ModelConfig unequal = upcycled_model(dense, {.widths = {2, 4}, .top_k = 2});
  EXPECT_EQ(unequal.experts.count, 2);
  EXPECT_GT(unequal.router.parameter_penalty, 0);
  EXPECT_EQ(unequal.router.load_balance, 0);
  const ModelConfig equal = upcycled_model(dense, {.widths = {4, 4}, .top_k = 2});
  EXPECT_EQ(equal.router.parameter_penalty, 0);
  EXPECT_GT(equal.router.load_balance, 0);
}

}  // namespace
}  // namespace hetmoe
