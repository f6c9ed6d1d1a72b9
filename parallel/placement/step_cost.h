#pragma once

#include <cstddef>
#include <vector>

#include "parallel/placement/planner.h"

namespace hetmoe {

/// Rows of one layer and step at one rank. The tokens of every expert are taken to come evenly from
/// all ranks; a token whose experts share a rank is counted for each of them.
struct RankRows {
  double held = 0;  ///< that its slices work on, wherever they come from
  double in = 0;    ///< received from other ranks; as many partial results return
  double out = 0;   ///< of its own tokens to other ranks
};

/// Shape: [ranks]. Pure.
std::vector<RankRows> rows_of_ranks(const PlanLayer& layer, const LayerPlacement& placement,
                                    int ranks);

/// What one rank spends on one layer in a step.
struct RankLayerCost {
  RankRows rows;
  double compute_seconds = 0;   ///< products of its slices, forward and backward
  double exchange_seconds = 0;  ///< its own part of the transfers
};

/// What one layer costs in a step, term by term.
struct LayerStepCost {
  double compute_seconds = 0;   ///< of the rank with the most
  double exchange_seconds = 0;  ///< of the busiest rank of each transfer
  double fixed_seconds = 0;     ///< the same for every placement
  int compute_rank = 0;         ///< the lowest of the busiest
  int exchange_rank = 0;
  std::vector<RankLayerCost> ranks;

  double seconds() const { return compute_seconds + exchange_seconds + fixed_seconds; }
};

/// The price of one layer's placement on the problem's cluster:
///   compute   max over ranks of the sum over its slices of forward and backward seconds, what is
///             computed again included
///   exchange  four transfers of rows, one after another: dispatch (16 bytes more per selection),
///             combine, and both backward (8 bytes more per selection); each lasts as long as for
///             the rank with the most bytes in or out. Calls that carry counts and selections cost
///             their latency. Where there are replicas their gradients go to the
///             owners and compute copies come back, once a step.
///   fixed     the cluster's time per layer
/// all else times the microbatches, each with its part of the tokens. Rank r is on node
/// r / ranks_per_node. With two hops a row crosses once for each of its experts to each node that
/// has slices of it, selections as ever, and each transfer is two (two_hop_cost.h). Nothing
/// overlaps. `problem.cluster` is there; the placement is valid. Pure.
LayerStepCost price_layer(const PlanProblem& problem, std::size_t layer,
                          const LayerPlacement& placement);

/// The sums over all layers.
struct StepSeconds {
  double compute = 0;
  double exchange = 0;
  double fixed = 0;

  double total() const { return compute + exchange + fixed; }
};
StepSeconds predict_step(const PlanProblem& problem, const Placement& placement);

/// What the experts of all layers take of one rank's memory, in bytes.
struct RankMemory {
  double weights = 0;  ///< copies of the compute type
  double gradients = 0;
  double masters = 0;  ///< none where the copy is the master (fp32)
  double moments = 0;
  /// Of one microbatch: received rows, and products with gate and up of all layers; where those
  /// are made again, of the layer with the most.
  double activations = 0;

  double total() const { return weights + gradients + masters + moments + activations; }
};

/// Shape: [ranks]. Of replicas the lowest rank owns, the others have weights and gradients. The
/// placement is valid. Pure.
std::vector<RankMemory> memory_of_ranks(const PlanProblem& problem, const Placement& placement);

}  // namespace hetmoe
