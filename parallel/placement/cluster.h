#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/config/allowed.h"

namespace hetmoe {

/// Measured seconds of the three products of one slice, forward and backward, on a grid. Read by
/// `expert_forward_seconds` and `expert_backward_seconds` (cluster_speed.h).
struct ExpertProducts {
  std::vector<std::int64_t> hidden_sizes;  ///< ascending
  std::vector<std::int64_t> rows;          ///< ascending
  std::vector<std::int64_t> widths;        ///< ascending
  std::vector<double> forward_seconds;     ///< [hidden_sizes][rows][widths], the last index fastest
  std::vector<double> backward_seconds;    ///< the same order

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("hidden_sizes", hidden_sizes, "", "Ascending.", at_least(1, 1 << 20));
    visit.field("rows", rows, "", "Ascending.", at_least(1, 1LL << 32));
    visit.field("widths", widths, "hidden units", "Ascending.", at_least(1, 1 << 20));
    visit.field("forward_seconds", forward_seconds, "seconds",
                "Of each hidden size, rows and width; the widths change fastest.",
                above_up_to(0, 1e6));
    visit.field("backward_seconds", backward_seconds, "seconds", "In the same order.",
                above_up_to(0, 1e6));
  }
};

/// Rates of a kernel at growing sizes. Read by `forward_rate` and `backward_rate`.
struct RateCurve {
  std::vector<std::int64_t> sizes;  ///< ascending
  std::vector<double> forward_flops_per_second;
  std::vector<double> backward_flops_per_second;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("sizes", sizes, "", "Ascending.", at_least(1, 1LL << 32));
    visit.field("forward_flops_per_second", forward_flops_per_second, "FLOP/s", "At each size.",
                above_up_to(0, 1e21));
    visit.field("backward_flops_per_second", backward_flops_per_second, "FLOP/s", "At each size.",
                above_up_to(0, 1e21));
  }
};

/// One rank's part of an all-to-all over links of one kind.
struct LinkSpeed {
  double latency_seconds = 0;   ///< of one call, per peer over this kind of link
  double bytes_per_second = 0;  ///< of one rank, each direction

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("latency_seconds", latency_seconds, "seconds", "Of one call, per peer.",
                between(0, 1e6));
    visit.field("bytes_per_second", bytes_per_second, "bytes/s", "Of one rank, each direction.",
                above_up_to(0, 1e21));
  }
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
  double optimizer_bytes_per_second = 0;  ///< touched, read and written (update_bytes.h)

  ExpertProducts expert_products;
  RateCurve dense_products;            ///< by hidden size: [T, D] x [D, D]
  RateCurve attention;                 ///< by sequence length: causal half of scores and values
  RateCurve output_head;               ///< by hidden size: head with cross entropy
  double layer_seconds = 0;            ///< fixed time of one layer, forward and backward
  double layer_seconds_per_value = 0;  ///< per token and hidden feature: norms, residual, routing

  int ranks_per_node = 1;
  LinkSpeed same_node;
  LinkSpeed other_node;

  template <typename Visitor>
  void fields(Visitor& visit) {
    visit.field("name", name, "", "For people.");
    visit.field("source", source, "", "Where the numbers come from.");
    visit.field("precision", precision, "", "Of the products.", one_of({"fp32", "bf16"}));
    visit.field("threads", threads, "threads", "Of one rank.", between(1, 1 << 20));
    visit.field("peak_flops_per_second", peak_flops_per_second, "FLOP/s",
                "Dense products of one rank.", above_up_to(0, 1e21));
    visit.field("memory.bytes", memory_bytes, "bytes", "Of one rank; 0: not known.",
                between(0, 1e18));
    visit.field("memory.bytes_per_second", memory_bytes_per_second, "bytes/s", "Read or written.",
                above_up_to(0, 1e21));
    visit.field("memory.optimizer_bytes_per_second", optimizer_bytes_per_second, "bytes/s",
                "Touched by an update, read and written: master, moments, gradient, copy.",
                above_up_to(0, 1e21));
    visit.section("expert_products", expert_products);
    visit.section("dense_products", dense_products);
    visit.section("attention", attention);
    visit.section("output_head", output_head);
    visit.field("layer.seconds", layer_seconds, "seconds",
                "Fixed time of one layer, forward and backward.", between(0, 1e6));
    visit.field("layer.seconds_per_value", layer_seconds_per_value, "seconds",
                "Per token and hidden feature.", between(0, 1e6));
    visit.field("links.ranks_per_node", ranks_per_node, "ranks", "Of one node.",
                between(1, 1 << 16));
    visit.section("links.same_node", same_node);
    visit.section("links.other_node", other_node);
  }
};

}  // namespace hetmoe
