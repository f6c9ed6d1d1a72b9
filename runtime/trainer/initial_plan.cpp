#include "runtime/trainer/initial_plan.h"

#include <fstream>
#include <sstream>
#include <string>

#include "core/base/error.h"
#include "parallel/agreement.h"
#include "parallel/placement/cost.h"
#include "parallel/placement/plan_json.h"
#include "parallel/placement/validation.h"

namespace hetmoe {
namespace {

bool is_plan_file(const std::string& strategy) { return strategy.ends_with(".json"); }

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || !text) throw StorageError("placement.strategy: cannot read plan file " + path);
  return text.str();
}

Plan read_plan_for(const RunConfig& config, const PlanProblem& problem, int ranks) {
  Plan read = read_plan(read_file(config.placement.strategy));
  std::vector<std::vector<std::int64_t>> widths;
  for (const PlanLayer& layer : problem.layers) widths.push_back(layer.widths);
  validate_placement(read.placement, widths, ranks);
  return evaluate(problem, std::move(read.placement));
}

}  // namespace

PlanProblem uniform_problem(const RunConfig& config, int ranks) {
  const auto widths = expert_widths(config.model.experts);
  PlanProblem problem;
  problem.hidden_size = config.model.hidden_size;
  problem.bytes_per_parameter = config.train.precision == Precision::kBf16 ? 18 : 16;
  problem.ranks = ranks;
  problem.memory_cap_ratio = config.placement.memory_cap_ratio;
  problem.tolerance = config.placement.tolerance;
  problem.granularity = config.placement.granularity;
  problem.layers.assign(config.model.num_layers,
                        {.widths = widths, .tokens = std::vector<std::int64_t>(widths.size(), 0)});
  return problem;
}

Plan make_initial_plan(const RunConfig& config, Communicator& control) {
  const PlanProblem problem = uniform_problem(config, control.size());
  std::string text;
  collectively(control, [&] {
    if (control.rank() != 0) return;
    const std::string& strategy = config.placement.strategy;
    text = write_plan(is_plan_file(strategy) ? read_plan_for(config, problem, control.size())
                                             : plan(problem, plan_strategy_of(strategy)));
  });
  return read_plan(broadcast_text(control, std::move(text), 0));
}

}  // namespace hetmoe
