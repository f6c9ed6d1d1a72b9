#include "parallel/placement/cost.h"
#include "parallel/placement/replicas.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "parallel/placement/step_cost.h"
#include "parallel/placement/validation.h"

namespace hetmoe {
namespace {

constexpr double kRoundingSlack = 1e-12;

double total_bytes(const PlanProblem& problem) {
  double rows = 0;
  for (const PlanLayer& layer : problem.layers)
    rows += static_cast<double>(
        std::accumulate(layer.widths.begin(), layer.widths.end(), std::int64_t{0}));
  return rows * 3 * static_cast<double>(problem.hidden_size) * problem.bytes_per_parameter;
}

LayerCost cost_of(const PlanLayer& layer, const LayerPlacement& placement, int ranks) {
  const std::vector<std::int64_t> loads = effective_loads(layer);
  std::vector<double> flops(static_cast<std::size_t>(ranks), 0.0);
  double rows = 0, whole_rows = 0;
  for (const PlacedSlice& slice : placement.slices) {
    const double tokens =
        static_cast<double>(loads[static_cast<std::size_t>(slice.expert)]) * slice.share;
    flops[static_cast<std::size_t>(slice.rank)] += tokens * static_cast<double>(slice.width());
    rows += tokens;
  }
  for (const std::int64_t load : loads) whole_rows += static_cast<double>(load);
  const double mean = std::accumulate(flops.begin(), flops.end(), 0.0) / ranks;
  return {.flops_max_over_mean = *std::max_element(flops.begin(), flops.end()) / mean,
          .traffic_ratio = rows / whole_rows};
}

std::string bound_of(const PlanProblem& problem, const Plan& plan, const StepSeconds& seconds,
                     double largest_bytes) {
  if (seconds.exchange > seconds.compute) return "traffic";
  for (const LayerCost& cost : plan.layers)
    if (cost.flops_max_over_mean > 1 + problem.tolerance + kRoundingSlack) return "compute";
  if (largest_bytes > memory_cap_bytes(problem) * (1 + kRoundingSlack)) return "memory";
  return "none";
}

}  // namespace

std::vector<std::int64_t> effective_loads(const PlanLayer& layer) {
  const bool all_zero = std::all_of(layer.tokens.begin(), layer.tokens.end(),
                                    [](std::int64_t tokens) { return tokens == 0; });
  return all_zero ? std::vector<std::int64_t>(layer.tokens.size(), 1) : layer.tokens;
}

double memory_cap_bytes(const PlanProblem& problem) {
  if (problem.memory_cap_bytes) return *problem.memory_cap_bytes;
  return problem.memory_cap_ratio * total_bytes(problem) / problem.ranks;
}

std::optional<Infeasibility> missed_cap(const PlanProblem& problem, const Plan& plan) {
  const std::vector<double> bytes = expert_bytes_of_ranks(problem, plan.placement);
  const double largest = *std::max_element(bytes.begin(), bytes.end());
  const double cap = memory_cap_bytes(problem);
  if (largest <= cap * (1 + kRoundingSlack)) return {};
  return Infeasibility{.constraint = "memory", .needed = largest, .available = cap};
}

std::vector<double> expert_bytes_of_ranks(const PlanProblem& problem, const Placement& placement) {
  std::vector<double> bytes(static_cast<std::size_t>(problem.ranks), 0.0);
  for (const LayerPlacement& layer : placement.layers) {
    const PlacedSlice* previous = nullptr;
    for (const PlacedSlice& slice : layer.slices) {
      const bool replica = previous != nullptr && are_replicas(*previous, slice);
      const double each =
          replica ? problem.bytes_per_replica_parameter : problem.bytes_per_parameter;
      bytes[static_cast<std::size_t>(slice.rank)] +=
          static_cast<double>(slice.width() * 3 * problem.hidden_size) * each;
      previous = &slice;
    }
  }
  return bytes;
}

Plan evaluate(const PlanProblem& problem, Placement placement) {
  validate_problem(problem);
  std::vector<std::vector<std::int64_t>> widths;
  for (const PlanLayer& layer : problem.layers) widths.push_back(layer.widths);
  validate_placement(placement, widths, problem.ranks);
  Plan plan;
  for (std::size_t layer = 0; layer < problem.layers.size(); ++layer)
    plan.layers.push_back(cost_of(problem.layers[layer], placement.layers[layer], problem.ranks));
  const std::vector<double> bytes = expert_bytes_of_ranks(problem, placement);
  const double largest = *std::max_element(bytes.begin(), bytes.end());
  plan.memory_max_over_mean = largest / (total_bytes(problem) / problem.ranks);
  StepSeconds seconds;
  if (problem.cluster) {
    seconds = predict_step(problem, placement);
    plan.predicted_step_seconds = seconds.total();
  }
  plan.bound_by = bound_of(problem, plan, seconds, largest);
  plan.placement = std::move(placement);
  return plan;
}

}  // namespace hetmoe
