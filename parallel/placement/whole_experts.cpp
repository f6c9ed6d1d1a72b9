#include "parallel/placement/whole_experts.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "parallel/placement/cost.h"

namespace hetmoe {

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

LayerPlacement place_equal_count(const PlanLayer& layer, int ranks) {
  const std::vector<std::int64_t> loads = effective_loads(layer);
  const std::size_t experts = loads.size();
  const std::size_t most =
      (experts + static_cast<std::size_t>(ranks) - 1) / static_cast<std::size_t>(ranks);
  std::vector<std::size_t> order(experts);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return loads[a] > loads[b]; });
  std::vector<std::int64_t> tokens(static_cast<std::size_t>(ranks), 0);
  std::vector<std::size_t> held(static_cast<std::size_t>(ranks), 0);
  LayerPlacement placement;
  placement.slices.resize(experts);
  for (const std::size_t expert : order) {
    const auto key = [&](std::size_t rank) { return std::tuple(held[rank] >= most, tokens[rank]); };
    std::size_t best = 0;
    for (std::size_t rank = 1; rank < tokens.size(); ++rank) {
      if (key(rank) < key(best)) best = rank;
    }
    tokens[best] += loads[expert];
    ++held[best];
    placement.slices[expert] = {.expert = static_cast<int>(expert),
                                .rank = static_cast<int>(best),
                                .begin = 0,
                                .end = layer.widths[expert]};
  }
  return placement;
}

}  // namespace hetmoe
