#include "launcher/simulated_step.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "parallel/placement/planner.h"
#include "runtime/trainer/global_batch.h"
#include "runtime/trainer/initial_plan.h"

namespace hetmoe {
namespace {

/// Steps that a planner has seen when it is first asked; matters where loads change (W6, W7).
constexpr std::int64_t kPlannedAfter = 100;

bool is_burst(const Workload& workload, std::int64_t step) {
  const std::vector<double> shares = workload.expected_shares(0, step);
  return std::adjacent_find(shares.begin(), shares.end(), std::not_equal_to<>()) != shares.end();
}

/// As often as they come in the long run: the first burst and the first seven steps that are even.
/// Any eight steps in a row are as likely as not to have no burst, or more than one.
std::vector<std::int64_t> steps_of_bursts(const Workload& workload) {
  constexpr std::int64_t kFarthest =
      1000;  // one expert, or those that all tokens take, never burst
  std::vector<std::int64_t> steps, even;
  std::int64_t step = kPlannedAfter;
  while (steps.empty() && step < kPlannedAfter + kFarthest) {
    if (is_burst(workload, ++step)) steps.push_back(step);
  }
  for (step = kPlannedAfter + 1; even.size() < 7; ++step) {
    if (!is_burst(workload, step)) even.push_back(step);
  }
  steps.insert(steps.end(), even.begin(), even.end());
  return steps;
}

/// The steps that are averaged, after the rebalance. What does not change is looked at once, or a
/// few times where chance is part of it; hot spots and bursts pass by.
std::vector<std::int64_t> simulated_steps(const Workload& workload, WorkloadKind kind,
                                          std::int64_t tokens) {
  if (kind == WorkloadKind::kW7) return steps_of_bursts(workload);
  std::int64_t count = tokens > kSampledTokens ? 1 : 4, apart = 1;
  if (kind == WorkloadKind::kW6) count = 4, apart = 10;
  std::vector<std::int64_t> steps;
  for (std::int64_t i = 0; i < count; ++i) steps.push_back(kPlannedAfter + 1 + i * apart);
  return steps;
}

RoutingShape shape_of(const RunConfig& config) {
  return {.layers = config.model.num_layers,
          .experts = config.model.experts.count,
          .top_k = std::min(config.model.router.top_k, config.model.experts.count),
          .tokens = config.train.global_batch * config.train.sequence_length};
}

Workload workload_for(const SimulationRequest& request, WorkloadKind kind) {
  const RoutingShape shape = shape_of(request.config);
  return Workload(kind, shape.experts, shape.top_k, request.seed);
}

std::vector<std::vector<RoutedTokens>> routed_steps(const SimulationRequest& request,
                                                    WorkloadKind kind) {
  const RoutingShape shape = shape_of(request.config);
  const Workload workload = workload_for(request, kind);
  std::vector<std::vector<RoutedTokens>> steps;
  for (const std::int64_t step : simulated_steps(workload, kind, shape.tokens))
    steps.push_back(route_step(workload, shape, step));
  return steps;
}

std::vector<std::vector<double>> seen_selections(const SimulationRequest& request,
                                                 WorkloadKind kind) {
  const bool changes = kind == WorkloadKind::kW6 || kind == WorkloadKind::kW7;
  return expected_selections(workload_for(request, kind), shape_of(request.config),
                             changes ? kPlannedAfter : 1);
}

/// Those of the configuration if it has some, else of the workload.
std::vector<std::int64_t> weights_of(const SimulationRequest& request, WorkloadKind kind) {
  if (!request.config.train.source_weights.empty())
    return source_weights(request.config, request.ranks);
  const std::vector<double> weights = source_weights(kind, request.ranks);
  return {weights.begin(), weights.end()};
}

SimulatedWorld world_of(const SimulationRequest& request, WorkloadKind sources) {
  const TrainConfig& train = request.config.train;
  return {.model = request.config.model,
          .is_bf16 = train.precision == Precision::kBf16,
          .sequence_length = train.sequence_length,
          .microbatches = train.microbatches,
          .sequences = counts_of_ranks(train.global_batch / train.microbatches,
                                       weights_of(request, sources)),
          .expert_group_size = request.expert_group_size,
          .ranks_per_node = request.ranks_per_node,
          .two_hops = request.config.parallel.device == "cpu",
          .recompute = train.recompute};
}

/// Sum over layers of the busiest rank's expert FLOPs over the sum of the means.
double flops_ratio(const std::vector<std::vector<RoutedTokens>>& steps, const Placement& placement,
                   int ranks) {
  double largest = 0, mean = 0;
  for (const std::vector<RoutedTokens>& layers : steps) {
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
      std::vector<double> flops(static_cast<std::size_t>(ranks), 0.0);
      for (const PlacedSlice& slice : placement.layers[layer].slices)
        flops[slice.rank] +=
            layers[layer].selected[slice.expert] * static_cast<double>(slice.width());
      largest += *std::max_element(flops.begin(), flops.end());
      mean += std::accumulate(flops.begin(), flops.end(), 0.0) / ranks;
    }
  }
  return largest / mean;
}

ExpertGroups groups_of(const SimulationRequest& request) {
  return ExpertGroups::of_world(request.ranks, request.expert_group_size);
}

Placement contiguous_plan(const SimulationRequest& request) {
  return plan(uniform_problem(request.config, groups_of(request)), PlanStrategy::kContiguous)
      .placement;
}

}  // namespace

void scale_batch(RunConfig& config, std::int64_t sequences_per_rank, int ranks) {
  std::int64_t microbatches = std::min(config.train.microbatches, sequences_per_rank);
  while (sequences_per_rank % microbatches != 0) --microbatches;
  config.train.microbatches = microbatches;
  config.train.global_batch = sequences_per_rank * ranks;
}

StepSimulator::StepSimulator(SimulationRequest request) : request_(std::move(request)) {
  plan_strategy_of(request_.strategy);
  Precision& precision = request_.config.train.precision;
  if (precision == Precision::kAuto)
    precision = request_.cluster.precision == "bf16" ? Precision::kBf16 : Precision::kFp32;
  request_.cluster.ranks_per_node = request_.ranks_per_node;
}

SimulationReport StepSimulator::report(WorkloadKind kind) {
  SimulationReport report{.config_name = request_.config_name,
                          .workload = workload_name(kind),
                          .seed = request_.seed,
                          .cluster = request_.cluster,
                          .world = world_of(request_, kind),
                          .placements = {}};
  const auto steps = routed_steps(request_, kind);
  const auto add = [&](const std::string& name, const Placement& placement) {
    report.placements.push_back(
        {.name = name,
         .simulation = simulate(request_.cluster, report.world, steps, placement),
         .flops_max_over_mean = flops_ratio(steps, placement, request_.expert_group_size)});
  };
  add("contiguous", contiguous_plan(request_));
  if (request_.strategy == "contiguous") return report;
  add(request_.strategy + ", even load", uniform_plan());
  add(request_.strategy, plan_of(seen_selections(request_, kind)));
  return report;
}

SimulatedCase StepSimulator::compare(WorkloadKind kind) {
  const std::vector<std::int64_t> widths = expert_widths(request_.config.model.experts);
  const auto [smallest, largest] = std::minmax_element(widths.begin(), widths.end());
  const SimulatedWorld world = world_of(request_, kind);
  const auto steps = routed_steps(request_, kind);
  const auto seconds = [&](const auto& routed, const Placement& placement) {
    return simulate(request_.cluster, world, routed, placement).step_seconds();
  };
  const Simulation planned =
      simulate(request_.cluster, world, steps, plan_of(seen_selections(request_, kind)));
  return {.workload = workload_name(kind),
          .width_ratio = static_cast<double>(*largest) / static_cast<double>(*smallest),
          .contiguous_seconds = seconds(steps, contiguous_plan(request_)),
          .planned_seconds = planned.step_seconds(),
          .even_seconds = planned.even_seconds,
          .uniform_seconds = seconds(routed_steps(request_, WorkloadKind::kW0), uniform_plan())};
}

const Placement& StepSimulator::uniform_plan() {
  if (!uniform_plan_) {
    const RoutingShape shape = shape_of(request_.config);
    const std::vector<double> even(static_cast<std::size_t>(shape.experts),
                                   static_cast<double>(shape.top_k) / shape.experts);
    uniform_plan_ = plan_of({static_cast<std::size_t>(shape.layers), even});
  }
  return *uniform_plan_;
}

Placement StepSimulator::plan_of(const std::vector<std::vector<double>>& selections) const {
  PlanProblem problem = uniform_problem(request_.config, groups_of(request_), request_.cluster);
  problem.replicas = 0;  // tokens are sent to all ranks that hold a part of their experts
  const double tokens = static_cast<double>(shape_of(request_.config).tokens) *
                        request_.expert_group_size / request_.ranks;
  for (std::size_t layer = 0; layer < selections.size(); ++layer) {
    for (std::size_t expert = 0; expert < selections[layer].size(); ++expert)
      problem.layers[layer].tokens[expert] = std::llround(selections[layer][expert] * tokens);
  }
  return plan(problem, plan_strategy_of(request_.strategy)).placement;
}

}  // namespace hetmoe
