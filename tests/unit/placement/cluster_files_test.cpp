#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "parallel/placement/cluster_file.h"

namespace hetmoe {
namespace {

// Tests run in the root of the source tree.
std::vector<std::filesystem::path> cluster_files() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator("configs/clusters")) {
    paths.push_back(entry.path());
  }
  return paths;
}

TEST(ClusterFiles, EveryFileLoadsAndIsNamed) {
  std::stringstream readme;
  readme << std::ifstream("configs/README.md").rdbuf();
  EXPECT_GE(cluster_files().size(), 1U);
  for (const auto& path : cluster_files()) {
    EXPECT_EQ(path.extension(), ".yaml");
    EXPECT_NO_THROW(read_cluster_file(path.string())) << path;
    EXPECT_THAT(readme.str(), testing::HasSubstr("clusters/" + path.filename().string()));
  }
}

// What the comments of the file say, with every rate written out once more.
constexpr double kRate = 780e12, kMemory = 3.35e12, kLaunch = 6.5e-6;

TEST(ClusterFiles, H100TablesFollowFromTheStatedRates) {
  const Cluster cluster = read_cluster_file("configs/clusters/h100_8x_400gbps.yaml");
  const ExpertProducts& products = cluster.expert_products;
  std::size_t entry = 0;
  for (const std::int64_t hidden : products.hidden_sizes) {
    for (const std::int64_t rows : products.rows) {
      for (const std::int64_t width : products.widths) {
        const auto d = static_cast<double>(hidden), r = static_cast<double>(rows),
                   w = static_cast<double>(width);
        const double weights = 3 * d * w;
        const double forward =
            std::max(2 * weights * r / kRate, (2 * weights + 4 * r * d + 12 * r * w) / kMemory) +
            2 * kLaunch;
        const double backward =
            std::max(4 * weights * r / kRate, (10 * weights + 8 * r * d + 24 * r * w) / kMemory) +
            4 * kLaunch;
        EXPECT_NEAR(products.forward_seconds[entry], forward, 1e-3 * forward) << entry;
        EXPECT_NEAR(products.backward_seconds[entry], backward, 1e-3 * backward) << entry;
        ++entry;
      }
    }
  }
  EXPECT_EQ(entry, products.forward_seconds.size());
}

TEST(ClusterFiles, H100CurvesFollowFromTheStatedRates) {
  const Cluster cluster = read_cluster_file("configs/clusters/h100_8x_400gbps.yaml");
  for (std::size_t i = 0; i < cluster.dense_products.sizes.size(); ++i) {
    const auto d = static_cast<double>(cluster.dense_products.sizes[i]);
    const double flops = 8192 * d * d;
    const double dense =
        flops / (std::max(flops / kRate, 2 * (d * d + 8192 * d) / kMemory) + kLaunch);
    EXPECT_NEAR(cluster.dense_products.forward_flops_per_second[i], dense, 1e-3 * dense);
    EXPECT_NEAR(cluster.dense_products.backward_flops_per_second[i], dense, 1e-3 * dense);
    const double forward = 2 * d / (2 * d / kRate + 8 / kMemory);
    const double backward = 4 * d / (4 * d / kRate + 4 / kMemory);
    EXPECT_NEAR(cluster.output_head.forward_flops_per_second[i], forward, 1e-3 * forward);
    EXPECT_NEAR(cluster.output_head.backward_flops_per_second[i], backward, 1e-3 * backward);
  }
  for (const auto* curve : {&cluster.dense_products, &cluster.attention, &cluster.output_head}) {
    for (const double rate : curve->forward_flops_per_second) {
      EXPECT_LT(rate, cluster.peak_flops_per_second);
    }
  }
}

}  // namespace
}  // namespace hetmoe
