#include <gtest/gtest.h>

#include <cmath>

#include "runtime/calibration/layer_measurement.h"

namespace hetmoe {
namespace {

TEST(FitLayers, FindsAnExactLine) {
  const LayerFit fit =
      fit_layers({{1000, 5e-4 + 1000e-9}, {64000, 5e-4 + 64000e-9}, {512000, 5e-4 + 512000e-9}});
  EXPECT_NEAR(fit.seconds, 5e-4, 1e-12);
  EXPECT_NEAR(fit.seconds_per_value, 1e-9, 1e-16);
}

TEST(FitLayers, SmallLayersWeighAsMuchAsLargeOnes) {
  // Least squares of absolute errors would pass the third point and miss the first by far.
  const LayerFit fit = fit_layers({{1, 1}, {2, 2}, {1000, 3000}});
  EXPECT_LT(std::abs(fit.seconds + fit.seconds_per_value - 1), 0.6);
}

TEST(FitLayers, NeitherPartIsBelowZero) {
  const LayerFit steep = fit_layers({{100, 1}, {200, 3}});
  EXPECT_EQ(steep.seconds, 0);
  EXPECT_GT(steep.seconds_per_value, 0);
  const LayerFit falling = fit_layers({{100, 3}, {200, 1}});
  EXPECT_GT(falling.seconds, 1);
  EXPECT_LT(falling.seconds, 3);
  EXPECT_EQ(falling.seconds_per_value, 0);
}

TEST(FitLayers, OneSizeGivesARateAlone) {
  const LayerFit fit = fit_layers({{100, 2}, {100, 2}});
  EXPECT_EQ(fit.seconds, 0);
  EXPECT_DOUBLE_EQ(fit.seconds_per_value, 0.02);
}

}  // namespace
}  // namespace hetmoe
