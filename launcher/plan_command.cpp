#include "launcher/plan_command.h"

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <utility>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "launcher/error_text.h"
#include "parallel/placement/cluster_file.h"
#include "parallel/placement/cost.h"
#include "parallel/placement/exact_planner.h"
#include "parallel/placement/plan_json.h"
#include "parallel/placement/planner.h"
#include "runtime/report/plan_text.h"
#include "runtime/run_config.h"
#include "runtime/trainer/initial_plan.h"

namespace hetmoe {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || !text) throw StorageError("cannot read " + path);
  return text.str();
}

/// What is to be planned, and how.
struct Question {
  PlanProblem problem;
  std::string strategy;
};

Question question_of(const PlanOptions& options) {
  if (!options.problem_path.empty()) {
    PlanProblem problem = read_problem(read_text(options.problem_path));
    if (!options.cluster_path.empty()) problem.cluster = read_cluster_file(options.cluster_path);
    return {std::move(problem), options.strategy.empty() ? "slices" : options.strategy};
  }
  RunConfig config = load_run_config(options.config_path, options.settings);
  if (!options.cluster_path.empty()) config.placement.cluster = options.cluster_path;
  return {
      uniform_problem(config, configured_groups(config, options.ranks), configured_cluster(config)),
      options.strategy.empty() ? config.placement.strategy : options.strategy};
}

int report_infeasible(const Infeasibility& found, bool json) {
  if (json) {
    const nlohmann::ordered_json error = {{"error",
                                           {{"constraint", found.constraint},
                                            {"needed", found.needed},
                                            {"available", found.available}}}};
    std::cout << error.dump() << "\n";
  }
  std::ostringstream text;
  text << "no placement meets the constraint " << found.constraint << ": a rank needs "
       << found.needed << " bytes, allowed: " << found.available;
  print_error(text.str());
  return static_cast<int>(ExitCode::kConfiguration);
}

}  // namespace

int run_plan_command(const PlanOptions& options) {
  const auto [problem, strategy] = question_of(options);
  const Plan chosen = options.exact ? plan_exactly(problem, options.exact_seconds)
                                    : plan(problem, plan_strategy_of(strategy));
  if (const auto missed = missed_cap(problem, chosen)) {
    return report_infeasible(*missed, options.json);
  }
  if (!options.out_path.empty()) write_file_atomically(options.out_path, write_plan(chosen));
  if (options.json) {
    std::cout << write_plan(chosen);
    return 0;
  }
  std::vector<NamedPlan> others;
  for (const std::string name : {"slices", "whole", "eplb", "contiguous"}) {
    if (name == strategy && !options.exact) continue;
    others.push_back({name, plan(problem, plan_strategy_of(name))});
  }
  std::cout << plan_text(problem, chosen, others);
  return 0;
}

}  // namespace hetmoe
