#include "runtime/report/plan_text.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "parallel/placement/cost.h"
#include "parallel/placement/step_cost.h"
#include "runtime/report/quantity_text.h"

namespace hetmoe {
namespace {

template <typename... Values>
std::string format(const char* pattern, Values... values) {
  char line[128];
  std::snprintf(line, sizeof(line), pattern, values...);
  return line;
}

constexpr double kFlopsOfRow = 18;  // per hidden feature and unit: three products, three times

/// What one rank gets, over all layers.
struct RankShare {
  double flops = 0;
  RankRows rows;
  double compute_seconds = 0;
  double exchange_seconds = 0;
  int slices = 0;
  int cut = 0;  ///< slices that are parts of an expert
};

void add_slices(const PlanProblem& problem, std::size_t layer, const LayerPlacement& placement,
                std::vector<RankShare>& ranks) {
  const std::vector<std::int64_t> loads = effective_loads(problem.layers[layer]);
  const double flops_of_row = kFlopsOfRow * static_cast<double>(problem.hidden_size);
  for (const PlacedSlice& slice : placement.slices) {
    RankShare& share = ranks[slice.rank];
    const double tokens = static_cast<double>(loads[slice.expert]) * slice.share;
    share.flops += flops_of_row * tokens * static_cast<double>(slice.width());
    ++share.slices;
    if (slice.width() < problem.layers[layer].widths[slice.expert]) ++share.cut;
  }
}

std::vector<RankShare> shares(const PlanProblem& problem, const Placement& placement) {
  std::vector<RankShare> ranks(static_cast<std::size_t>(problem.ranks));
  for (std::size_t layer = 0; layer < placement.layers.size(); ++layer) {
    add_slices(problem, layer, placement.layers[layer], ranks);
    const auto rows = rows_of_ranks(problem.layers[layer], placement.layers[layer], problem.ranks);
    for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
      ranks[rank].rows.held += rows[rank].held;
      ranks[rank].rows.in += rows[rank].in;
      ranks[rank].rows.out += rows[rank].out;
    }
    if (!problem.cluster) continue;
    const LayerStepCost cost = price_layer(problem, layer, placement.layers[layer]);
    for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
      ranks[rank].compute_seconds += cost.ranks[rank].compute_seconds;
      ranks[rank].exchange_seconds += cost.ranks[rank].exchange_seconds;
    }
  }
  return ranks;
}

/// Counts where the problem has a load, else parts of a whole.
class Amounts {
 public:
  explicit Amounts(const PlanProblem& problem) {
    for (const PlanLayer& layer : problem.layers) {
      for (const std::int64_t tokens : layer.tokens) has_load_ = has_load_ || tokens > 0;
    }
  }
  std::string text(double amount, double all) const {
    return has_load_ ? count_text(amount) : percent_text(all > 0 ? amount / all : 0);
  }

 private:
  bool has_load_ = false;
};

std::string rank_table(const PlanProblem& problem, const Plan& plan) {
  const std::vector<RankShare> ranks = shares(problem, plan.placement);
  const std::vector<double> bytes = expert_bytes_of_ranks(problem, plan.placement);
  const Amounts amounts(problem);
  RankShare all;
  for (const RankShare& share : ranks) {
    all.flops += share.flops;
    all.rows.held += share.rows.held;
  }
  const double cap = memory_cap_bytes(problem);
  std::string text =
      "  rank     FLOPs   /mean   rows in  rows out     memory   of cap  slices (cut)";
  text += problem.cluster ? "   compute    exchange\n" : "\n";
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    const RankShare& share = ranks[rank];
    std::string row = format("%6zu %9s %7.3f %9s %9s %10s %6.1f %% %7d (%d)", rank,
                             amounts.text(share.flops, all.flops).c_str(),
                             share.flops / (all.flops / problem.ranks),
                             amounts.text(share.rows.in, all.rows.held).c_str(),
                             amounts.text(share.rows.out, all.rows.held).c_str(),
                             bytes_text(static_cast<std::int64_t>(bytes[rank])).c_str(),
                             100 * bytes[rank] / cap, share.slices, share.cut);
    if (problem.cluster) {
      row = left_aligned(row, 77) + right_aligned(short_duration_text(share.compute_seconds), 11) +
            right_aligned(short_duration_text(share.exchange_seconds), 12);
    }
    text += row + "\n";
  }
  return text;
}

std::string seconds_lines(const PlanProblem& problem, const Plan& plan) {
  const StepSeconds step = predict_step(problem, plan.placement);
  const std::vector<RankMemory> memory = memory_of_ranks(problem, plan.placement);
  const auto most = std::max_element(
      memory.begin(), memory.end(),
      [](const RankMemory& a, const RankMemory& b) { return a.total() < b.total(); });
  const auto bytes = [](double value) { return bytes_text(static_cast<std::int64_t>(value)); };
  std::string text = "\nexperts per step: " + short_duration_text(step.total()) + " = products " +
                     short_duration_text(step.compute) + " + exchange " +
                     short_duration_text(step.exchange) + " + fixed " +
                     short_duration_text(step.fixed) + "\n";
  text += "fullest: weights " + bytes(most->weights) + ", gradients " + bytes(most->gradients) +
          ", masters " + bytes(most->masters) + ", moments " + bytes(most->moments) +
          ", activations " + bytes(most->activations) + "\n";
  return text;
}

std::string comparison_row(const char* name, const Plan& plan) {
  double worst = 0, mean = 0, traffic = 0;
  for (const LayerCost& cost : plan.layers) {
    worst = std::max(worst, cost.flops_max_over_mean);
    mean += cost.flops_max_over_mean / static_cast<double>(plan.layers.size());
    traffic += cost.traffic_ratio / static_cast<double>(plan.layers.size());
  }
  std::string text = format("  %-12s %10.3f %12.3f %9.3f %12.3f   %-11s", name, mean, worst,
                            traffic, plan.memory_max_over_mean, plan.bound_by.c_str());
  if (plan.predicted_step_seconds) {
    text += format(" %14s", short_duration_text(*plan.predicted_step_seconds).c_str());
  }
  return text.substr(0, text.find_last_not_of(' ') + 1) + "\n";
}

}  // namespace

std::string plan_text(const PlanProblem& problem, const Plan& plan,
                      std::span<const NamedPlan> others) {
  std::string text = rank_table(problem, plan);
  if (problem.cluster) text += seconds_lines(problem, plan);
  text += "\nbound by: " + plan.bound_by + "\n";
  text += "\n  max/mean          FLOPs  worst layer   traffic       memory   bound by";
  text += problem.cluster ? "      experts/step\n" : "\n";
  text += comparison_row("this plan", plan);
  for (const NamedPlan& other : others) text += comparison_row(other.name.c_str(), other.plan);
  return text;
}

}  // namespace hetmoe
