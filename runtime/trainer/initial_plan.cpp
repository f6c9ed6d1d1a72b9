#include "runtime/trainer/initial_plan.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "parallel/agreement.h"
#include "parallel/placement/cluster_file.h"
#include "parallel/placement/cost.h"
#include "parallel/placement/plan_json.h"
#include "parallel/placement/validation.h"

namespace hetmoe {
namespace {

bool is_plan_file(const std::string& strategy) { return strategy.ends_with(".json"); }

std::string read_file(const std::string& path, const std::string& what) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || !text) throw StorageError(what + " " + path);
  return text.str();
}

Plan read_plan_for(const RunConfig& config, const PlanProblem& problem) {
  Plan read =
      read_plan(read_file(config.placement.strategy, "placement.strategy: cannot read plan file"));
  std::vector<std::vector<std::int64_t>> widths;
  for (const PlanLayer& layer : problem.layers) widths.push_back(layer.widths);
  validate_placement(read.placement, widths, problem.ranks);
  return evaluate(problem, std::move(read.placement));
}

/// Of one step, when the router prefers no expert.
std::int64_t tokens_of_expert(const RunConfig& config) {
  const RouterConfig& router = config.model.router;
  const auto experts = static_cast<double>(config.model.experts.count);
  const double selected = router.kind == RouterKind::kTopK
                              ? static_cast<double>(router.top_k)
                              : std::min(experts, std::ceil(router.top_p * experts));
  const double tokens = static_cast<double>(config.train.global_batch) *
                        static_cast<double>(config.train.sequence_length);
  return std::max<std::int64_t>(1, std::llround(tokens * selected / experts));
}

}  // namespace

std::optional<Cluster> configured_cluster(const RunConfig& config) {
  const std::string& path = config.placement.cluster;
  if (path.empty()) return {};
  Cluster cluster = read_cluster_file(path);
  const Precision precision = cluster.precision == "bf16" ? Precision::kBf16 : Precision::kFp32;
  if (config.train.precision != Precision::kAuto && config.train.precision != precision) {
    throw ConfigError("placement.cluster: the speeds of " + path + " are those of " +
                      cluster.precision + ", allowed: those of train.precision");
  }
  return cluster;
}

void copy_cluster_file(const RunConfig& config, const RunDirectory& directory) {
  const std::string& path = config.placement.cluster;
  if (path.empty()) return;
  write_file_atomically(directory.cluster_file(),
                        read_file(path, "placement.cluster: cannot read"));
}

ExpertGroups configured_groups(const RunConfig& config, int ranks) {
  const int size = config.parallel.expert_group_size;
  if (size != 0 && ranks % size != 0) {
    throw ConfigError("parallel.expert_group_size: value " + std::to_string(size) +
                      ", allowed: 0 or a divisor of the " + std::to_string(ranks) + " ranks");
  }
  return ExpertGroups::of_world(ranks, size);
}

PlanProblem uniform_problem(const RunConfig& config, const ExpertGroups& groups,
                            const std::optional<Cluster>& cluster) {
  const auto widths = expert_widths(config.model.experts);
  const bool is_bf16 =
      config.train.precision == Precision::kBf16 ||
      (config.train.precision == Precision::kAuto && cluster && cluster->precision == "bf16");
  PlanProblem problem;
  problem.hidden_size = config.model.hidden_size;
  // Masters and moments of a slice are spread over the groups.
  const std::int64_t state = is_bf16 ? 12 : 8;
  problem.bytes_per_replica_parameter = is_bf16 ? 6 : 8;
  problem.bytes_per_parameter =
      problem.bytes_per_replica_parameter + (state + groups.count - 1) / groups.count;
  problem.bytes_per_value = is_bf16 ? 2 : 4;
  problem.ranks = groups.size;
  problem.memory_cap_ratio = config.placement.memory_cap_ratio;
  problem.tolerance = config.placement.tolerance;
  problem.granularity = config.placement.granularity;
  problem.replicas = config.placement.replicas;
  problem.microbatches = static_cast<int>(config.train.microbatches);
  problem.recompute = config.train.recompute;
  problem.cluster = cluster;
  problem.two_hops = config.parallel.device == "cpu";
  if (problem.cluster && config.topology.ranks_per_node > 0) {
    problem.cluster->ranks_per_node = config.topology.ranks_per_node;
  }
  // Without a cluster only the proportions of a load count.
  const std::int64_t tokens =
      cluster ? std::max<std::int64_t>(1, tokens_of_expert(config) / groups.count) : 0;
  problem.layers.assign(
      config.model.num_layers,
      {.widths = widths, .tokens = std::vector<std::int64_t>(widths.size(), tokens)});
  return problem;
}

void take_loads(const Loads& loads, int groups, PlanProblem& problem) {
  const auto fits = [](const std::vector<std::int64_t>& load, const PlanLayer& layer) {
    return load.size() == layer.widths.size() &&
           std::ranges::all_of(load, [](std::int64_t tokens) { return tokens >= 0; });
  };
  if (!std::ranges::equal(loads, problem.layers, fits)) return;
  for (std::size_t layer = 0; layer < loads.size(); ++layer) {
    std::ranges::transform(loads[layer], problem.layers[layer].tokens.begin(),
                           [groups](std::int64_t tokens) { return tokens / groups; });
  }
}

Plan make_initial_plan(const RunConfig& config, const ExpertGroups& groups, Communicator& control,
                       const Loads& loads) {
  std::string text;
  collectively(control, [&] {
    if (control.rank() != 0) return;
    PlanProblem problem = uniform_problem(config, groups, configured_cluster(config));
    take_loads(loads, groups.count, problem);
    const std::string& strategy = config.placement.strategy;
    text = write_plan(is_plan_file(strategy) ? read_plan_for(config, problem)
                                             : plan(problem, plan_strategy_of(strategy)));
  });
  return read_plan(broadcast_text(control, std::move(text), 0));
}

}  // namespace hetmoe
