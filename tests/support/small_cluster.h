#pragma once

#include <cstdint>

#include "parallel/placement/cluster.h"

namespace hetmoe {

/// A cluster of round numbers: a slice takes `forward` seconds per hidden feature, row and width,
/// backward twice that, and two ranks share a node.
inline Cluster small_cluster(double forward = 1e-9) {
  Cluster cluster;
  cluster.name = "small";
  cluster.source = "made up";
  cluster.precision = "fp32";
  cluster.peak_flops_per_second = 1e10;
  cluster.memory_bytes = 1e12;
  cluster.memory_bytes_per_second = 1e10;
  cluster.optimizer_bytes_per_second = 5e9;
  ExpertProducts& products = cluster.expert_products;
  products.hidden_sizes = {4, 64};
  products.rows = {1, 16, 256};
  products.widths = {8, 64, 512};
  for (const std::int64_t hidden : products.hidden_sizes) {
    for (const std::int64_t rows : products.rows) {
      for (const std::int64_t width : products.widths) {
        const double seconds = forward * static_cast<double>(hidden * rows * width);
        products.forward_seconds.push_back(seconds);
        products.backward_seconds.push_back(2 * seconds);
      }
    }
  }
  cluster.dense_products = {{64, 256}, {1e9, 3e9}, {2e9, 4e9}};
  cluster.attention = {{128}, {1e9}, {1e9}};
  cluster.output_head = {{64}, {1e9}, {1e9}};
  cluster.layer_seconds = 1e-6;
  cluster.layer_seconds_per_value = 1e-12;
  cluster.ranks_per_node = 2;
  cluster.same_node = {1e-6, 1e9};
  cluster.other_node = {1e-5, 1e8};
  return cluster;
}

}  // namespace hetmoe
