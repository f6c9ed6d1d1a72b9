#include "parallel/placement/planner.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "parallel/placement/cost.h"

namespace hetmoe {
namespace {

// A layer's sum of tokens times width stays exact in 64 bits.
constexpr std::size_t kMostExperts = 1024;
constexpr std::int64_t kLargestWidth = std::int64_t{1} << 20;
constexpr std::int64_t kLargestTokens = std::int64_t{1} << 32;
constexpr std::int64_t kLargestHiddenSize = std::int64_t{1} << 20;
constexpr int kLargestRanks = 1 << 16;

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

// Heaviest expert first; each onto the rank with the least work among those with room for it, or
// among all if none has. `bytes` carries over from layer to layer: the cap is over all of them.
LayerPlacement place_whole(const PlanProblem& problem, const PlanLayer& layer,
                           std::vector<double>& bytes) {
  const std::vector<std::int64_t> loads = effective_loads(layer);
  const auto flops_of = [&](std::size_t e) { return loads[e] * layer.widths[e]; };
  std::vector<std::size_t> order(layer.widths.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return flops_of(a) > flops_of(b); });
  const double cap = memory_cap_bytes(problem);
  std::vector<std::int64_t> flops(static_cast<std::size_t>(problem.ranks), 0);
  LayerPlacement placement;
  for (const std::size_t expert : order) {
    const double size = static_cast<double>(layer.widths[expert] * 3 * problem.hidden_size) *
                        problem.bytes_per_parameter;
    const auto key = [&](std::size_t rank) {
      const bool full = bytes[rank] + size > cap;
      // Among full ranks the emptiest, so that the cap is missed by as little as it goes; equal
      // work goes to the rank that holds less.
      return std::tuple(full, full ? bytes[rank] : 0.0, flops[rank], bytes[rank]);
    };
    std::size_t best = 0;
    for (std::size_t rank = 1; rank < flops.size(); ++rank)
      if (key(rank) < key(best)) best = rank;
    flops[best] += flops_of(expert);
    bytes[best] += size;
    placement.slices.push_back({.expert = static_cast<int>(expert),
                                .rank = static_cast<int>(best),
                                .begin = 0,
                                .end = layer.widths[expert]});
  }
  std::sort(placement.slices.begin(), placement.slices.end(),
            [](const PlacedSlice& a, const PlacedSlice& b) { return a.expert < b.expert; });
  return placement;
}

LayerPlacement place_contiguous(const PlanLayer& layer, int ranks) {
  const auto experts = static_cast<std::int64_t>(layer.widths.size());
  LayerPlacement placement;
  for (std::int64_t expert = 0; expert < experts; ++expert) {
    // Rank r holds the experts [E r / R, E (r + 1) / R).
    const auto rank = static_cast<int>(((expert + 1) * ranks - 1) / experts);
    placement.slices.push_back({.expert = static_cast<int>(expert),
                                .rank = rank,
                                .begin = 0,
                                .end = layer.widths[static_cast<std::size_t>(expert)]});
  }
  return placement;
}

}  // namespace

PlanStrategy plan_strategy_of(const std::string& name) {
  if (name == "whole") return PlanStrategy::kWhole;
  if (name == "contiguous") return PlanStrategy::kContiguous;
  throw ConfigError("placement.strategy is '" + name + "', allowed: whole, contiguous");
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
  require(problem.replicas == 0, "/replicas", problem.replicas, "0 (none are made yet)");
  require(!problem.layers.empty(), "/layers", "empty", "at least one layer");
  for (std::size_t layer = 0; layer < problem.layers.size(); ++layer)
    validate_layer(problem.layers[layer], detail::concatenate("/layers/", layer));
}

Plan plan(const PlanProblem& problem, PlanStrategy strategy) {
  validate_problem(problem);
  Placement placement;
  std::vector<double> bytes(static_cast<std::size_t>(problem.ranks), 0.0);
  for (const PlanLayer& layer : problem.layers)
    placement.layers.push_back(strategy == PlanStrategy::kWhole
                                   ? place_whole(problem, layer, bytes)
                                   : place_contiguous(layer, problem.ranks));
  return evaluate(problem, std::move(placement));
}

}  // namespace hetmoe
