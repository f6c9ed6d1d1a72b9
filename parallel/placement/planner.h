#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/model/recompute.h"
#include "parallel/placement/cluster.h"
#include "parallel/placement/placement.h"

namespace hetmoe {

/// One layer as the planner sees it.
struct PlanLayer {
  std::vector<std::int64_t> widths;  ///< hidden units of each expert, each at least 1
  std::vector<std::int64_t> tokens;  ///< load of each expert; all zero counts as uniform
};

/// Everything that a plan depends on (the contract's planner problem).
struct PlanProblem {
  std::int64_t hidden_size = 0;
  double bytes_per_parameter = 18;         ///< copy, gradient, master and moments
  double bytes_per_replica_parameter = 6;  ///< copy and gradient
  int ranks = 0;
  /// Most expert bytes of a rank over all layers: a ratio of the mean, or bytes (then it counts).
  double memory_cap_ratio = 1.10;
  std::optional<double> memory_cap_bytes;
  double tolerance = 0.02;        ///< largest FLOPs over the mean - 1, per layer
  std::int64_t granularity = 32;  ///< cuts lie at its multiples
  std::int64_t replicas = 0;      ///< copies of slices beyond the first, per layer, at most
  std::vector<PlanLayer> layers;
  std::optional<Placement> current;  ///< what a migration would start from

  /// With it plans are made for the least predicted seconds (step_cost.h); tokens are then real
  /// ones, those of a step.
  std::optional<Cluster> cluster;
  bool strict = false;         ///< with a cluster: only placements within the tolerance
  double bytes_per_value = 2;  ///< of the compute type: copies of weights, and rows that travel
  int microbatches = 1;        ///< of equal size, whose tokens add up to the step's
  /// With a cluster of several ranks per node: a row crosses once to each node, and is handed on.
  bool two_hops = false;
  /// Products with gate and up are made again in backward, not kept, unless kNone.
  Recompute recompute = Recompute::kNone;
};

enum class PlanStrategy : std::uint8_t {
  /// Experts cut where balance or memory needs it, at little traffic (slice_planner.h). With a
  /// current placement: layers that still meet the limits stay as they are. With a cluster: by
  /// seconds (timed_planner.h).
  kSlices,
  /// Whole experts, largest FLOPs first (ties: the lower expert) onto the least loaded rank that
  /// has room (ties: fewest bytes so far, then the lower rank).
  kWhole,
  kEqualCount,  ///< equal numbers of whole experts weighted by tokens ("eplb")
  kContiguous,  ///< equal numbers of whole experts in order
};

/// The strategy's name as the configuration spells it; ConfigError lists the names.
PlanStrategy plan_strategy_of(const std::string& name);

struct LayerCost {
  double flops_max_over_mean = 1;
  double traffic_ratio = 1;  ///< rows that travel over rows of whole, unreplicated experts
};

/// A placement with what it is predicted to cost.
struct Plan {
  Placement placement;
  std::vector<LayerCost> layers;
  double memory_max_over_mean = 1;
  /// With a cluster: the sum over layers of LayerStepCost::seconds, experts only.
  std::optional<double> predicted_step_seconds;
  /// "traffic": with a cluster, the exchange takes longer than the busiest ranks' products, over
  /// all layers; else "compute": a layer misses the tolerance ("granularity" where finer granules
  /// would have met it: slices that had to); else "memory": the cap is missed; else "none".
  std::string bound_by = "none";
};

/// A pure function: no clock, no randomness, no communication; the same bytes on every rank of the
/// same processor type. Sorted as LayerPlacement says. Ranks beyond the experts stay empty.
/// Whole experts cannot always meet the memory cap or the tolerance, nor can slices of coarse
/// granularity: the figures say what was reached, `bound_by` what was in the way, and nothing is
/// refused for it.
/// Errors: ConfigError (JSON pointer, value, allowed) for a problem that makes no sense.
Plan plan(const PlanProblem& problem, PlanStrategy strategy);

/// Places one layer after another with `place(layer index, room)`; room [ranks]: the most rows that
/// each rank may take, so that the memory cap holds over all layers.
Placement place_layers(
    const PlanProblem& problem,
    const std::function<LayerPlacement(std::size_t, const std::vector<std::int64_t>&)>& place);

/// The most rows of a layer that each rank may take: its part of the memory cap up to this layer,
/// less the `rows` [ranks] that the layers before have put there.
std::vector<std::int64_t> room_for_layer(const PlanProblem& problem, std::size_t layer,
                                         const std::vector<std::int64_t>& rows);

/// Throws ConfigError with the JSON pointer of the first value that makes no sense.
void validate_problem(const PlanProblem& problem);

}  // namespace hetmoe
