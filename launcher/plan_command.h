#pragma once

#include <string>
#include <vector>

namespace hetmoe {

struct PlanOptions {
  std::string problem_path;           ///< a planner problem as JSON, or
  std::string config_path;            ///< a configuration, planned from a uniform load
  std::vector<std::string> settings;  ///< "a.b=c" of the configuration
  int ranks = 0;                      ///< for a configuration
  std::string cluster_path;           ///< plan by its speeds; empty: what the problem says
  std::string strategy;               ///< empty: placement.strategy; of a problem: slices
  bool exact = false;
  double exact_seconds = 60;  ///< per layer
  std::string out_path;       ///< the plan as JSON
  bool json = false;
};

/// `hetmoe plan`: plans without starting ranks and shows what each rank gets, beside the other
/// strategies; or the plan as one JSON document. Gives the exit code: 2 when no placement can hold
/// the memory cap (then no plan is written). Errors: ConfigError, StorageError.
int run_plan_command(const PlanOptions& options);

}  // namespace hetmoe
