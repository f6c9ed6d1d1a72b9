#pragma once

#include <cstdint>
#include <vector>

#include "core/model/model_config.h"
#include "core/model/recompute.h"

namespace hetmoe {

/// A training step on many ranks, but for speeds, routing and placement. Rank r stands on node
/// r / ranks_per_node and in expert group r / expert_group_size; every group holds all experts.
struct SimulatedWorld {
  ModelConfig model;
  bool is_bf16 = false;                 ///< compute type; else fp32
  std::int64_t sequence_length = 0;     ///< tokens
  std::int64_t microbatches = 1;        ///< of a step
  std::vector<std::int64_t> sequences;  ///< [ranks]: of one microbatch
  int expert_group_size = 1;            ///< ranks; divides their number
  int ranks_per_node = 1;
  bool two_hops = false;  ///< a row crosses once to each node, and is handed on there
  Recompute recompute = Recompute::kNone;

  int ranks() const { return static_cast<int>(sequences.size()); }
  int groups() const { return ranks() / expert_group_size; }
  int node_of(int rank) const { return rank / ranks_per_node; }
  double value_bytes() const { return is_bf16 ? 2 : 4; }
  /// Tokens of one rank in one microbatch.
  double tokens(int rank) const {
    return static_cast<double>(sequences[rank]) * static_cast<double>(sequence_length);
  }
  /// Tokens of all ranks in one microbatch.
  double microbatch_tokens() const;
};

/// Other ranks among `first, first + stride, ...` below `end` that stand on the node of `rank`.
int peers_on_node(const SimulatedWorld& world, int rank, int first, int end, int stride);

}  // namespace hetmoe
