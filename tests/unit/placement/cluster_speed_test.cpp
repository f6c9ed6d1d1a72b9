#include "parallel/placement/cluster_speed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/support/small_cluster.h"

namespace hetmoe {
namespace {

/// Two by two by two, each corner a time of its own: [hidden 4, 16][rows 10, 1000][widths 8, 32].
Cluster corners() {
  Cluster cluster = small_cluster();
  cluster.expert_products = {
      {4, 16}, {10, 1000}, {8, 32}, {1, 2, 4, 16, 3, 5, 9, 20}, {2, 3, 5, 17, 4, 6, 10, 21}};
  return cluster;
}

TEST(ClusterSpeed, GridPointsAreMetExactly) {
  const Cluster cluster = corners();
  EXPECT_EQ(expert_forward_seconds(cluster, 4, 10, 8), 1);
  EXPECT_EQ(expert_forward_seconds(cluster, 4, 10, 32), 2);
  EXPECT_EQ(expert_forward_seconds(cluster, 4, 1000, 8), 4);
  EXPECT_EQ(expert_forward_seconds(cluster, 16, 10, 8), 3);
  EXPECT_EQ(expert_forward_seconds(cluster, 16, 1000, 32), 20);
  EXPECT_EQ(expert_backward_seconds(cluster, 16, 10, 32), 6);
}

TEST(ClusterSpeed, BetweenThemTimesGrowGeometrically) {
  const Cluster cluster = corners();
  // Half way in the logarithm: 16 between 8 and 32, 100 between 10 and 1000, 8 between 4 and 16.
  EXPECT_NEAR(expert_forward_seconds(cluster, 4, 10, 16), std::sqrt(1.0 * 2), 1e-12);
  EXPECT_NEAR(expert_forward_seconds(cluster, 4, 100, 8), std::sqrt(1.0 * 4), 1e-12);
  EXPECT_NEAR(expert_forward_seconds(cluster, 8, 10, 8), std::sqrt(1.0 * 3), 1e-12);
  EXPECT_NEAR(expert_forward_seconds(cluster, 8, 100, 16),
              std::pow(1.0 * 2 * 4 * 16 * 3 * 5 * 9 * 20, 1.0 / 8), 1e-12);
}

TEST(ClusterSpeed, OutsideTheRateOfTheNearestPointHolds) {
  const Cluster cluster = corners();
  EXPECT_DOUBLE_EQ(expert_forward_seconds(cluster, 4, 5, 8), 0.5);
  EXPECT_DOUBLE_EQ(expert_forward_seconds(cluster, 32, 2000, 64), 20 * 2 * 2 * 2);
  EXPECT_DOUBLE_EQ(expert_forward_seconds(cluster, 1, 10, 4), 1.0 / 8);
}

TEST(ClusterSpeed, NothingToDoTakesNoTime) {
  EXPECT_EQ(expert_forward_seconds(corners(), 4, 0, 8), 0);
  EXPECT_EQ(expert_backward_seconds(corners(), 4, 0, 8), 0);
  EXPECT_EQ(expert_forward_seconds(corners(), 4, 10, 0), 0);
}

TEST(ClusterSpeed, MoreRowsAndWiderSlicesNeverTakeLess) {
  const Cluster cluster = corners();
  for (const std::int64_t hidden : {2, 4, 7, 16, 40}) {
    double before_rows = 0;
    for (double rows = 1; rows < 5000; rows *= 1.37) {
      double before = 0;
      for (std::int64_t width = 1; width < 100; width += 3) {
        const double seconds = expert_forward_seconds(cluster, hidden, rows, width);
        EXPECT_GE(seconds, before) << hidden << " " << rows << " " << width;
        before = seconds;
      }
      const double seconds = expert_forward_seconds(cluster, hidden, rows, 20);
      EXPECT_GE(seconds, before_rows) << hidden << " " << rows;
      before_rows = seconds;
    }
  }
}

TEST(ClusterSpeed, ATimeThatGrowsLikeTheWorkIsMetEverywhere) {
  const Cluster cluster = small_cluster(1e-9);
  for (const double rows : {0.25, 1.0, 3.0, 77.7, 256.0, 9999.0}) {
    for (const std::int64_t width : {1, 8, 33, 512, 1000}) {
      const double expected = 1e-9 * 17 * rows * static_cast<double>(width);
      EXPECT_NEAR(expert_forward_seconds(cluster, 17, rows, width), expected, 1e-9 * expected);
      EXPECT_NEAR(expert_backward_seconds(cluster, 17, rows, width), 2 * expected, 2e-9 * expected);
    }
  }
}

TEST(ClusterSpeed, RatesAreLinearInTheLogarithmOfTheSize) {
  const RateCurve curve{{64, 256}, {1e9, 3e9}, {2e9, 4e9}};
  EXPECT_EQ(forward_rate(curve, 64), 1e9);
  EXPECT_EQ(forward_rate(curve, 256), 3e9);
  EXPECT_DOUBLE_EQ(forward_rate(curve, 128), 2e9);
  EXPECT_DOUBLE_EQ(backward_rate(curve, 128), 3e9);
  EXPECT_EQ(forward_rate(curve, 1), 1e9);
  EXPECT_EQ(backward_rate(curve, 10000), 4e9);
}

TEST(ClusterSpeed, AnAllToAllIsLatencyPerPeerAndTheSlowerKindOfLink) {
  const Cluster cluster = small_cluster();
  EXPECT_EQ(all_to_all_seconds(cluster, {}), 0);
  EXPECT_DOUBLE_EQ(all_to_all_seconds(cluster, {1e6, 0, 1, 0}), 1e-6 + 1e-3);
  EXPECT_DOUBLE_EQ(all_to_all_seconds(cluster, {1e6, 1e6, 1, 2}), 1e-6 + 2e-5 + 1e-2);
  EXPECT_DOUBLE_EQ(all_to_all_seconds(cluster, {1e8, 1e6, 1, 2}), 1e-6 + 2e-5 + 1e-1);
}

}  // namespace
}  // namespace hetmoe
