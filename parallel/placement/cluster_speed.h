#pragma once

#include <cstdint>

#include "core/model/recompute.h"
#include "parallel/placement/cluster.h"

namespace hetmoe {

/// Seconds of the three products of one slice over `rows` tokens; 0 for no rows. Between grid
/// points the logarithm of the time is linear in the logarithms of hidden size, rows and width, so
/// that a time that grows like a product of powers is met exactly; outside the grid the rate (FLOPs
/// per second) of the nearest point holds. `cluster` has passed read_cluster. Pure.
double expert_forward_seconds(const Cluster& cluster, std::int64_t hidden_size, double rows,
                              std::int64_t width);

/// The same of the backward products: gradients of the rows and of the weights.
double expert_backward_seconds(const Cluster& cluster, std::int64_t hidden_size, double rows,
                               std::int64_t width);

/// Of a backward pass that first makes the products with gate and up again, if it has to.
double expert_backward_seconds(const Cluster& cluster, std::int64_t hidden_size, double rows,
                               std::int64_t width, Recompute recompute);

/// FLOP/s of a kernel at a size: linear in the logarithm of the size, outside the nearest. Pure.
double forward_rate(const RateCurve& curve, std::int64_t size);
double backward_rate(const RateCurve& curve, std::int64_t size);

/// What one rank sends (or receives) in an all-to-all.
struct RankTraffic {
  double same_node_bytes = 0;
  double other_node_bytes = 0;
  int same_node_peers = 0;
  int other_node_peers = 0;
};

/// Seconds of an all-to-all for one rank: the latencies of all its peers one after another, then
/// both kinds of links carry at the same time. Give the busier direction. Pure.
double all_to_all_seconds(const Cluster& cluster, const RankTraffic& traffic);

}  // namespace hetmoe
