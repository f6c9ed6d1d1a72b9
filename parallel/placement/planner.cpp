#include "parallel/placement/planner.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/placement/cost.h"
#include "parallel/placement/placement_change.h"
#include "parallel/placement/replicas.h"
#include "parallel/placement/slice_planner.h"
#include "parallel/placement/timed_planner.h"
#include "parallel/placement/validation.h"
#include "parallel/placement/whole_experts.h"

namespace hetmoe {
namespace {

// A layer's sum of tokens times width stays exact in 64 bits.
constexpr std::size_t kMostExperts = 1024;
constexpr std::int64_t kLargestWidth = std::int64_t{1} << 20;
constexpr std::int64_t kLargestTokens = std::int64_t{1} << 32;
constexpr std::int64_t kLargestHiddenSize = std::int64_t{1} << 20;
constexpr int kLargestRanks = 1 << 16;
constexpr int kMostMicrobatches = 1 << 24;
constexpr std::int64_t kMostReplicas = 1 << 20;

template <typename Value>
void require(bool holds, const std::string& pointer, Value value, const std::string& allowed) {
  if (!holds)
    throw ConfigError(
        detail::concatenate("planner problem: ", pointer, " is ", value, ", allowed: ", allowed));
}

void validate_layer(const PlanLayer& layer, const std::string& pointer) {
  require(!layer.widths.empty() && layer.widths.size() <= kMostExperts, pointer + "/widths",
          detail::concatenate("of length ", layer.widths.size()),
          detail::concatenate("1 to ", kMostExperts, " experts"));
  require(layer.tokens.size() == layer.widths.size(), pointer + "/tokens",
          detail::concatenate("of length ", layer.tokens.size()),
          detail::concatenate(layer.widths.size(), " values, one per expert"));
  for (std::size_t expert = 0; expert < layer.widths.size(); ++expert) {
    require(layer.widths[expert] >= 1 && layer.widths[expert] <= kLargestWidth,
            detail::concatenate(pointer, "/widths/", expert), layer.widths[expert],
            detail::concatenate("1 to ", kLargestWidth));
    require(layer.tokens[expert] >= 0 && layer.tokens[expert] <= kLargestTokens,
            detail::concatenate(pointer, "/tokens/", expert), layer.tokens[expert],
            detail::concatenate("0 to ", kLargestTokens));
  }
}

Placement place_in_slices(const PlanProblem& problem) {
  return place_layers(problem, [&](std::size_t layer, const std::vector<std::int64_t>& room) {
    if (problem.cluster) return place_by_seconds(problem, layer, room);
    const LayerPlacement cut = place_slices(problem.layers[layer], problem.ranks, problem.tolerance,
                                            problem.granularity, room);
    LayerPlacement fresh = with_replicas(problem, layer, cut, room);
    if (!problem.current) return fresh;
    const LayerLimits limits = {problem, layer, room};
    const LayerPlacement& current = problem.current->layers[layer];
    if (is_worth_keeping(current, fresh, limits)) return current;
    return with_replicas(problem, layer, follow(current, cut, limits), room);
  });
}

/// Whole experts; with a current placement the ranks are called so that rows stay where they are,
/// as far as the memory cap allows it.
Placement place_whole_experts(const PlanProblem& problem, bool by_count) {
  const double bytes_per_row =
      3 * static_cast<double>(problem.hidden_size) * problem.bytes_per_parameter;
  std::vector<double> bytes(static_cast<std::size_t>(problem.ranks), 0.0);
  Placement placement;
  for (std::size_t layer = 0; layer < problem.layers.size(); ++layer) {
    std::vector<std::int64_t> room;
    for (const double held : bytes) {
      const double left = std::clamp(memory_cap_bytes(problem) - held, 0.0, 1e18);
      room.push_back(static_cast<std::int64_t>(left / bytes_per_row));
    }
    std::vector<double> held = bytes;
    LayerPlacement placed = by_count ? place_equal_count(problem.layers[layer], problem.ranks)
                                     : place_whole(problem, problem.layers[layer], held);
    if (problem.current) {
      placed = follow(problem.current->layers[layer], placed, {problem, layer, room});
    }
    for (const PlacedSlice& slice : placed.slices) {
      bytes[slice.rank] += static_cast<double>(slice.width()) * bytes_per_row;
    }
    placement.layers.push_back(std::move(placed));
  }
  return placement;
}

Placement place_in_strategy(const PlanProblem& problem, PlanStrategy strategy) {
  if (strategy == PlanStrategy::kSlices) return place_in_slices(problem);
  if (strategy != PlanStrategy::kContiguous) {
    return place_whole_experts(problem, strategy == PlanStrategy::kEqualCount);
  }
  Placement placement;
  for (const PlanLayer& layer : problem.layers) {
    placement.layers.push_back(place_contiguous(layer, problem.ranks));
  }
  return placement;
}

constexpr std::pair<const char*, PlanStrategy> kStrategies[] = {
    {"slices", PlanStrategy::kSlices},
    {"whole", PlanStrategy::kWhole},
    {"eplb", PlanStrategy::kEqualCount},
    {"contiguous", PlanStrategy::kContiguous}};

}  // namespace

PlanStrategy plan_strategy_of(const std::string& name) {
  std::string names;
  for (const auto& [known, strategy] : kStrategies) {
    if (name == known) return strategy;
    names += (names.empty() ? "" : ", ") + std::string(known);
  }
  throw ConfigError("placement.strategy is '" + name + "', allowed: " + names);
}

void validate_problem(const PlanProblem& problem) {
  require(problem.ranks >= 1 && problem.ranks <= kLargestRanks, "/ranks", problem.ranks,
          detail::concatenate("1 to ", kLargestRanks));
  require(problem.hidden_size >= 1 && problem.hidden_size <= kLargestHiddenSize, "/hidden_size",
          problem.hidden_size, detail::concatenate("1 to ", kLargestHiddenSize));
  const auto in = [](double value, double low, double high) {
    return std::isfinite(value) && value >= low && value <= high;
  };
  require(in(problem.bytes_per_parameter, 1e-3, 1e6), "/bytes_per_parameter",
          problem.bytes_per_parameter, "0.001 to 1e6");
  require(in(problem.bytes_per_replica_parameter, 0, 1e6), "/bytes_per_replica_parameter",
          problem.bytes_per_replica_parameter, "0 to 1e6");
  require(in(problem.memory_cap_ratio, 1, 1e6), "/memory_cap_ratio", problem.memory_cap_ratio,
          "1 to 1e6");
  if (problem.memory_cap_bytes)
    require(in(*problem.memory_cap_bytes, 1, 1e18), "/memory_cap_bytes", *problem.memory_cap_bytes,
            "1 to 1e18");
  require(in(problem.tolerance, 0, 1e6), "/tolerance", problem.tolerance, "0 to 1e6");
  require(problem.granularity >= 1 && problem.granularity <= kLargestWidth, "/granularity",
          problem.granularity, detail::concatenate("1 to ", kLargestWidth));
  require(in(problem.bytes_per_value, 1, 16), "/bytes_per_value", problem.bytes_per_value,
          "1 to 16");
  require(problem.microbatches >= 1 && problem.microbatches <= kMostMicrobatches, "/microbatches",
          problem.microbatches, detail::concatenate("1 to ", kMostMicrobatches));
  require(problem.cluster || !problem.strict, "/strict", "true", "false without a cluster");
  require(problem.replicas >= 0 && problem.replicas <= kMostReplicas, "/replicas", problem.replicas,
          detail::concatenate("0 to ", kMostReplicas));
  require(!problem.layers.empty(), "/layers", "empty", "at least one layer");
  for (std::size_t layer = 0; layer < problem.layers.size(); ++layer)
    validate_layer(problem.layers[layer], detail::concatenate("/layers/", layer));
  if (problem.current) {
    std::vector<std::vector<std::int64_t>> widths;
    for (const PlanLayer& layer : problem.layers) widths.push_back(layer.widths);
    validate_placement(*problem.current, widths, problem.ranks);
  }
}

Placement place_layers(
    const PlanProblem& problem,
    const std::function<LayerPlacement(std::size_t, const std::vector<std::int64_t>&)>& place) {
  Placement placement;
  std::vector<std::int64_t> rows(static_cast<std::size_t>(problem.ranks), 0);
  for (std::size_t layer = 0; layer < problem.layers.size(); ++layer) {
    placement.layers.push_back(place(layer, room_for_layer(problem, layer, rows)));
    const std::vector<std::int64_t> more = counted_rows(problem, placement.layers.back());
    for (std::size_t rank = 0; rank < rows.size(); ++rank) rows[rank] += more[rank];
  }
  return placement;
}

std::vector<std::int64_t> room_for_layer(const PlanProblem& problem, std::size_t layer,
                                         const std::vector<std::int64_t>& rows) {
  double all = 0, until_here = 0;
  for (std::size_t i = 0; i < problem.layers.size(); ++i) {
    const auto& widths = problem.layers[i].widths;
    const auto sum =
        static_cast<double>(std::accumulate(widths.begin(), widths.end(), std::int64_t{0}));
    all += sum;
    if (i <= layer) until_here += sum;
  }
  const double bytes_per_row =
      3 * static_cast<double>(problem.hidden_size) * problem.bytes_per_parameter;
  // More than all rows is no limit, and would overflow.
  const double most = std::min(memory_cap_bytes(problem) / bytes_per_row, all);
  std::vector<std::int64_t> room;
  for (const std::int64_t held : rows) {
    room.push_back(std::max<std::int64_t>(
        0, static_cast<std::int64_t>(most * until_here / all + 1e-6) - held));
  }
  return room;
}

Plan plan(const PlanProblem& problem, PlanStrategy strategy) {
  validate_problem(problem);
  Plan result = evaluate(problem, place_in_strategy(problem, strategy));
  // Finer granules would have met the tolerance, where it was not given up for time.
  const bool had_to_meet = !problem.cluster || problem.strict;
  if (strategy == PlanStrategy::kSlices && had_to_meet && result.bound_by == "compute") {
    result.bound_by = "granularity";
  }
  return result;
}

}  // namespace hetmoe
