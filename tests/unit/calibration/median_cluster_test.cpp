#include "runtime/calibration/median_cluster.h"

#include <gtest/gtest.h>

#include "tests/support/small_cluster.h"

namespace hetmoe {
namespace {

TEST(MedianCluster, TakesEachNumberByItself) {
  std::vector<Cluster> rounds(3, small_cluster());
  const double seconds = rounds[0].expert_products.forward_seconds[4];
  rounds[0].expert_products.forward_seconds[4] = 10 * seconds;
  rounds[1].expert_products.forward_seconds[4] = 2 * seconds;
  rounds[0].dense_products.backward_flops_per_second[1] = 1;
  rounds[1].layer_seconds = 7;
  rounds[2].same_node.bytes_per_second = 3;
  rounds[1].same_node.bytes_per_second = 4;
  const Cluster expected = small_cluster();
  const Cluster median = median_of(rounds);
  EXPECT_EQ(median.expert_products.forward_seconds[4], 2 * seconds);
  EXPECT_EQ(median.expert_products.forward_seconds[3], expected.expert_products.forward_seconds[3]);
  EXPECT_EQ(median.dense_products.backward_flops_per_second,
            expected.dense_products.backward_flops_per_second);
  EXPECT_EQ(median.layer_seconds, expected.layer_seconds);
  EXPECT_EQ(median.same_node.bytes_per_second, 4);
  EXPECT_EQ(median.expert_products.rows, expected.expert_products.rows);
  EXPECT_EQ(median.name, "small");
}

TEST(MedianCluster, OneRoundIsItself) {
  const Cluster median = median_of({small_cluster()});
  EXPECT_EQ(median.expert_products.backward_seconds,
            small_cluster().expert_products.backward_seconds);
  EXPECT_EQ(median.other_node.latency_seconds, small_cluster().other_node.latency_seconds);
}

}  // namespace
}  // namespace hetmoe
