#include "launcher/simulate_command.h"

#include <filesystem>
#include <iostream>
#include <numeric>
#include <sstream>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "launcher/error_text.h"
#include "launcher/simulated_step.h"
#include "parallel/placement/cluster_file.h"
#include "runtime/report/simulation_svg.h"
#include "runtime/report/simulation_text.h"
#include "runtime/trainer/initial_plan.h"

namespace hetmoe {
namespace {

std::vector<WorkloadKind> workloads_of(const std::string& name) {
  if (name != "all") return {workload_of(name)};
  return {WorkloadKind::kW0, WorkloadKind::kW1, WorkloadKind::kW2, WorkloadKind::kW3,
          WorkloadKind::kW4, WorkloadKind::kW5, WorkloadKind::kW6, WorkloadKind::kW7};
}

/// `extra`: settings after the user's.
RunConfig config_of(const SimulateOptions& options, const std::vector<std::string>& extra) {
  std::vector<std::string> settings = options.settings;
  settings.insert(settings.end(), extra.begin(), extra.end());
  RunConfig config = load_run_config(options.config_path, settings);
  if (options.sequences_per_rank > 0)
    scale_batch(config, options.sequences_per_rank, options.ranks);
  return config;
}

SimulationRequest request_of(const SimulateOptions& options, RunConfig config) {
  SimulationRequest request;
  request.config_name = std::filesystem::path(options.config_path).stem().string();
  request.cluster = read_cluster_file(options.cluster_path);
  request.ranks = options.ranks;
  if (options.expert_group_size != 0) config.parallel.expert_group_size = options.expert_group_size;
  request.expert_group_size = configured_groups(config, options.ranks).size;
  request.ranks_per_node =
      options.ranks_per_node == 0 ? request.cluster.ranks_per_node : options.ranks_per_node;
  request.strategy = options.strategy.empty() ? config.placement.strategy : options.strategy;
  request.seed = options.seed < 0 ? config.train.seed : static_cast<std::uint64_t>(options.seed);
  request.config = std::move(config);
  return request;
}

void warn(const std::string& text) { print_error("warning: " + text); }

void warn_of_batch(const SimulationRequest& request) {
  const TrainConfig& train = request.config.train;
  const std::int64_t sequences = train.global_batch / train.microbatches;
  if (sequences >= request.ranks) return;
  warn(std::to_string(sequences) + " sequences in a microbatch leave " +
       std::to_string(request.ranks - sequences) + " of " + std::to_string(request.ranks) +
       " ranks without tokens; give each of them some with --sequences-per-rank N, or use fewer "
       "train.microbatches");
}

void warn_of_slices(const SimulationRequest& request) {
  const auto widths = expert_widths(request.config.model.experts);
  const std::int64_t units = std::accumulate(widths.begin(), widths.end(), std::int64_t{0});
  const std::int64_t granularity = request.config.placement.granularity;
  if (units >= request.expert_group_size * granularity) return;
  warn(std::to_string(request.expert_group_size) + " ranks share the " + std::to_string(units) +
       " hidden units of a layer's experts, fewer than placement.granularity " +
       std::to_string(granularity) + " each; try a smaller --expert-group-size");
}

void warn_of_doubts(const SimulationRequest& request) {
  warn_of_batch(request);
  warn_of_slices(request);
  if (const std::int64_t replicas = request.config.placement.replicas; replicas > 0) {
    warn("placement.replicas " + std::to_string(replicas) +
         " is simulated as 0: hot experts are cut instead");
  }
  const Precision precision = request.config.train.precision;
  const bool is_bf16 = request.cluster.precision == "bf16";
  if (precision != Precision::kAuto && (precision == Precision::kBf16) != is_bf16) {
    warn("train.precision differs from " + request.cluster.precision + ", in which cluster " +
         request.cluster.name + " was measured");
  }
  if (request.config.model.router.kind == RouterKind::kTopP) {
    warn("a workload gives every token model.router.top_k " +
         std::to_string(request.config.model.router.top_k) +
         " experts; model.router.kind top_p would vary their number");
  }
}

std::string ratio_text(double ratio) {
  std::ostringstream text;
  text << ratio;
  return text.str();
}

int compare_cases(const SimulateOptions& options, const std::vector<WorkloadKind>& workloads) {
  if (!options.svg_path.empty()) {
    throw ConfigError("--svg " + options.svg_path +
                      ", allowed: with one --workload and without --width-ratios");
  }
  const std::vector<double> as_configured = {0};
  const bool has_ratios = !options.width_ratios.empty();
  std::vector<SimulatedCase> cases;
  std::string strategy;
  bool is_first = true;
  for (const double ratio : has_ratios ? options.width_ratios : as_configured) {
    const std::vector<std::string> skew = {"model.experts.shape=arithmetic",
                                           "model.experts.ratio=" + ratio_text(ratio)};
    SimulationRequest request =
        request_of(options, config_of(options, has_ratios ? skew : std::vector<std::string>{}));
    if (has_ratios && !request.config.model.experts.widths.empty()) {
      throw ConfigError("--width-ratios " + ratio_text(ratio) +
                        ", allowed: without model.experts.widths");
    }
    if (is_first) warn_of_doubts(request);
    is_first = false;
    strategy = request.strategy;
    StepSimulator simulator(std::move(request));
    for (const WorkloadKind kind : workloads) cases.push_back(simulator.compare(kind));
  }
  std::cout << (options.json ? simulated_cases_json(strategy, cases)
                             : simulated_cases_text(strategy, cases));
  return 0;
}

std::string workload_name_of(const SimulateOptions& options) {
  if (!options.workload.empty()) return options.workload;
  const std::string forced =
      load_run_config(options.config_path, options.settings).model.router.forced;
  return forced == "none" ? "W0" : forced;
}

}  // namespace

int run_simulate_command(const SimulateOptions& options) {
  const std::vector<WorkloadKind> workloads = workloads_of(workload_name_of(options));
  if (workloads.size() > 1 || !options.width_ratios.empty()) {
    return compare_cases(options, workloads);
  }
  if (!options.svg_path.empty()) require_writable(options.svg_path);
  SimulationRequest request = request_of(options, config_of(options, {}));
  warn_of_doubts(request);
  const SimulationReport report = StepSimulator(std::move(request)).report(workloads.front());
  if (!options.svg_path.empty()) write_file_atomically(options.svg_path, simulation_svg(report));
  std::cout << (options.json ? simulation_json(report) : simulation_text(report));
  return 0;
}

}  // namespace hetmoe
