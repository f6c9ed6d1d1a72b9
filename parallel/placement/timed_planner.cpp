#include "parallel/placement/timed_planner.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "parallel/placement/cost.h"
#include "parallel/placement/placement_change.h"
#include "parallel/placement/replicas.h"
#include "parallel/placement/slice_planner.h"
#include "parallel/placement/step_cost.h"
#include "parallel/placement/whole_experts.h"

namespace hetmoe {
namespace {

/// A move costs bytes and a pause, so a little time is not worth it.
constexpr double kSecondsWorthMoving = 1.05;
/// Looser tolerances are multiples of the problem's, or of this where it asks for more.
constexpr double kLeastLoosened = 0.02;
constexpr double kLooser[] = {2.5, 5, 10, 25};

/// Whole experts inside the layer's room: what room leaves of the cap counts as taken.
LayerPlacement whole_in_room(const PlanProblem& problem, const PlanLayer& layer,
                             const std::vector<std::int64_t>& room) {
  const double bytes_per_row =
      3 * static_cast<double>(problem.hidden_size) * problem.bytes_per_parameter;
  std::vector<double> bytes;
  for (const std::int64_t rows : room) {
    bytes.push_back(memory_cap_bytes(problem) - static_cast<double>(rows) * bytes_per_row);
  }
  return place_whole(problem, layer, bytes);
}

/// The problem's tolerance first: it is what remains if nothing meets the limits.
std::vector<LayerPlacement> fresh_candidates(const PlanProblem& problem, const PlanLayer& layer,
                                             const std::vector<std::int64_t>& room) {
  std::vector<double> tolerances = {problem.tolerance};
  if (!problem.strict) {
    const double least = std::max(problem.tolerance, kLeastLoosened);
    for (const double factor : kLooser) tolerances.push_back(factor * least);
  }
  std::vector<LayerPlacement> candidates;
  for (const double tolerance : tolerances) {
    candidates.push_back(place_slices(layer, problem.ranks, tolerance, problem.granularity, room));
  }
  candidates.push_back(whole_in_room(problem, layer, room));
  candidates.push_back(place_equal_count(layer, problem.ranks));
  candidates.push_back(place_contiguous(layer, problem.ranks));
  return candidates;
}

}  // namespace

LayerPlacement place_by_seconds(const PlanProblem& problem, std::size_t layer,
                                const std::vector<std::int64_t>& room) {
  const PlanLayer& loads = problem.layers[layer];
  const LayerLimits limits = {problem, layer, room};
  const auto counts = [&](const LayerPlacement& placement) {
    return fits_room(placement, limits) && (!problem.strict || is_balanced(placement, limits));
  };
  const auto seconds_of = [&](const LayerPlacement& placement) {
    const LayerStepCost cost = price_layer(problem, layer, placement);
    return cost.compute_seconds + cost.exchange_seconds;
  };
  /// With replicas instead of cuts, if that takes less time than it costs to keep them equal.
  const auto best_form = [&](const LayerPlacement& cut) {
    LayerPlacement copied = with_replicas(problem, layer, cut, room);
    const bool pays = copied != cut && counts(copied) && seconds_of(copied) < seconds_of(cut);
    return pays ? std::move(copied) : cut;
  };
  const std::vector<LayerPlacement> candidates = fresh_candidates(problem, loads, room);
  const LayerPlacement* best = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (const LayerPlacement& candidate : candidates) {
    const double seconds = counts(candidate) ? seconds_of(best_form(candidate)) : least;
    if (seconds >= least) continue;
    best = &candidate;
    least = seconds;
  }
  const LayerPlacement& fresh = best != nullptr ? *best : candidates.front();
  if (!problem.current) return best_form(fresh);
  const double worth_moving = kSecondsWorthMoving * least;
  const LayerPlacement& current = problem.current->layers[layer];
  if (counts(current) && seconds_of(current) <= worth_moving) return current;
  // Renamed ranks may lie on other nodes.
  LayerPlacement followed = best_form(follow(current, fresh, limits));
  return seconds_of(followed) <= worth_moving ? std::move(followed) : best_form(fresh);
}

}  // namespace hetmoe
