#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/allowed.h"

namespace hetmoe {

/// Measured seconds of the three products of one slice, forward and backward, on a grid. Between
/// grid points times are interpolated linearly in the logarithms of hidden size, rows and width;
/// outside the grid the rate of the nearest point holds.
struct ExpertProducts {
  std::vector<std::int64_t> hidden_sizes;  ///< ascending
  std::vector<std::int64_t> rows;          ///< ascending
  std::vector<std::int64_t> widths;        ///< ascending
  std::vector<double> forward_seconds;     ///< [hidden_sizes][rows][widths], the last index fastest
  std::vector<double> backward_seconds;    ///< the same order
};

/// Rates of a kernel at growing sizes; between them linear in the logarithm, outside the nearest.
struct RateCurve {
  std::vector<std::int64_t> sizes;  ///< ascending
  std::vector<double> forward_flops_per_second;
  std::vector<double> backward_flops_per_second;
};

/// One rank's part of an all-to-all over links of one kind.
struct LinkSpeed {
  double latency_seconds = 0;   ///< of one call, per peer over this kind of link
  double bytes_per_second = 0;  ///< of one rank, each direction
};

/// How fast one rank of a cluster computes and talks: what the planner and the simulator reckon
/// with. Measured by `hetmoe calibrate`, or published figures. Seconds are those of one rank with
/// `threads` threads (CPU) or one device.
struct Cluster {
  std::string name;    ///< for people
  std::string source;  ///< where the numbers come from
  std::string precision;
  int threads = 1;
  double peak_flops_per_second = 0;  ///< dense products, one rank: what MFU is a part of
  double memory_bytes = 0;           ///< of one rank; 0: not known
  double memory_bytes_per_second = 0;
  double optimizer_bytes_per_second = 0;  ///< bytes of master, moments, gradient and copy touched

  ExpertProducts expert_products;
  RateCurve dense_products;  ///< by hidden size: [T, D] x [D, D]
  RateCurve attention;       ///< by sequence length: causal half of scores and values
  RateCurve output_head;     ///< by hidden size: head with cross entropy
  double layer_seconds = 0;  ///< fixed time of one layer, forward and backward
  double layer_seconds_per_value = 0;  ///< per token and hidden feature: norms, residual, routing

  int ranks_per_node = 1;
  LinkSpeed same_node;
  LinkSpeed other_node;
};

}  // namespace hetmoe
