#pragma once

#include <string>
#include <vector>

#include "parallel/placement/expert_groups.h"
#include "parallel/placement/planner.h"
#include "runtime/metrics/run_directory.h"
#include "runtime/report/summary.h"
#include "runtime/run_config.h"

namespace hetmoe {

struct RunSummaryParts {
  const RunConfig& config;  ///< precision resolved
  std::string config_name;
  const RunDirectory& directory;
  const Plan& plan;
  ExpertGroups groups;
  CoreUse cores;
  std::string device;  ///< of rank 0, for people
  std::vector<DataSourceRow> sources;
};

/// What people are told before step 1. Active parameters and shares of FLOPs under a uniform load.
RunSummary summarize_run(const RunSummaryParts& parts);

}  // namespace hetmoe
