#include "runtime/report/plan_text.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <vector>

#include "parallel/placement/cost.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

template <typename... Values>
std::string format(const char* pattern, Values... values) {
  char line[128];
  std::snprintf(line, sizeof(line), pattern, values...);
  return line;
}

/// What one rank gets, over all layers.
struct RankShare {
  double flops = 0;
  double rows_in = 0;  ///< received rows; as many come back
  int slices = 0;
  int cut = 0;  ///< slices that are parts of an expert
};

std::vector<RankShare> shares(const PlanProblem& problem, const Placement& placement) {
  std::vector<RankShare> ranks(static_cast<std::size_t>(problem.ranks));
  for (std::size_t layer = 0; layer < placement.layers.size(); ++layer) {
    const std::vector<std::int64_t> loads = effective_loads(problem.layers[layer]);
    for (const PlacedSlice& slice : placement.layers[layer].slices) {
      RankShare& share = ranks[slice.rank];
      const double tokens = static_cast<double>(loads[slice.expert]) * slice.share;
      share.flops += tokens * static_cast<double>(slice.width());
      share.rows_in += tokens;
      ++share.slices;
      if (slice.width() < problem.layers[layer].widths[slice.expert]) ++share.cut;
    }
  }
  return ranks;
}

std::string rank_table(const PlanProblem& problem, const Plan& plan) {
  const std::vector<RankShare> ranks = shares(problem, plan.placement);
  const std::vector<double> bytes = expert_bytes_of_ranks(problem, plan.placement);
  RankShare all;
  for (const RankShare& share : ranks) {
    all.flops += share.flops;
    all.rows_in += share.rows_in;
  }
  const double cap = memory_cap_bytes(problem);
  std::string text =
      "  rank   FLOPs/mean   rows in and out   expert memory   of cap   slices (cut)\n";
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    text += format("%6zu %12.3f %15.1f %%   %13s %7.1f %% %8d (%d)\n", rank,
                   ranks[rank].flops / (all.flops / problem.ranks),
                   100 * ranks[rank].rows_in / all.rows_in,
                   bytes_text(static_cast<std::int64_t>(bytes[rank])).c_str(),
                   100 * bytes[rank] / cap, ranks[rank].slices, ranks[rank].cut);
  }
  return text;
}

std::string comparison_row(const char* name, const Plan& plan) {
  double worst = 0, mean = 0, traffic = 0;
  for (const LayerCost& cost : plan.layers) {
    worst = std::max(worst, cost.flops_max_over_mean);
    mean += cost.flops_max_over_mean / static_cast<double>(plan.layers.size());
    traffic += cost.traffic_ratio / static_cast<double>(plan.layers.size());
  }
  return format("  %-12s %12.3f %14.3f %12.3f %14.3f\n", name, mean, worst, traffic,
                plan.memory_max_over_mean);
}

}  // namespace

std::string plan_text(const PlanProblem& problem, const Plan& plan,
                      std::span<const NamedPlan> others) {
  std::string text = rank_table(problem, plan);
  text += "\nbound by: " + plan.bound_by + "\n";
  text += "\n  FLOPs max/mean       all layers    worst layer      traffic     memory max/mean\n";
  text += comparison_row("this plan", plan);
  for (const NamedPlan& other : others) text += comparison_row(other.name.c_str(), other.plan);
  return text;
}

}  // namespace hetmoe
