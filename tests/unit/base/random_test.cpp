#include "core/base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace hetmoe {
namespace {

TEST(CounterRandom, RowsDoNotDependOnWhatWasDrawnBefore) {
  const CounterRandom random(1, "layers.0.router");
  std::vector<float> alone(7);
  random.fill_normal(5, 0.02, alone);
  std::vector<float> other(7);
  random.fill_normal(4, 0.02, other);
  std::vector<float> again(7);
  random.fill_normal(5, 0.02, again);
  EXPECT_EQ(alone, again);
  EXPECT_NE(alone, other);
}

TEST(CounterRandom, NameAndSeedChangeEveryValue) {
  std::vector<float> a(64), b(64), c(64);
  CounterRandom(1, "x").fill_normal(0, 1, a);
  CounterRandom(1, "y").fill_normal(0, 1, b);
  CounterRandom(2, "x").fill_normal(0, 1, c);
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_NE(a[i], b[i]);
    EXPECT_NE(a[i], c[i]);
  }
}

TEST(CounterRandom, NormalsHaveTheAskedMomentsAndTails) {
  const CounterRandom random(3, "moments");
  std::vector<float> row(1001);
  double sum = 0, squares = 0;
  std::int64_t beyond_two = 0, count = 0;
  for (int r = 0; r < 200; ++r) {
    random.fill_normal(r, 0.5, row);
    for (float value : row) {
      ASSERT_TRUE(std::isfinite(value));
      sum += value;
      squares += static_cast<double>(value) * value;
      beyond_two += std::abs(value) > 1.0F ? 1 : 0;
      ++count;
    }
  }
  const double n = static_cast<double>(count);
  EXPECT_NEAR(sum / n, 0.0, 4 * 0.5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 0.25, 0.003);
  EXPECT_NEAR(static_cast<double>(beyond_two) / n, 0.0455, 0.003);  // two deviations
}

TEST(CounterRandom, UniformStaysBelowOne) {
  const CounterRandom random(9, "uniform");
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double value = random.uniform(i, 0);
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.015);
}

}  // namespace
}  // namespace hetmoe
