#pragma once

#include <memory>
#include <optional>

#include "runtime/metrics/held_run.h"
#include "runtime/trainer/compute_choice.h"
#include "runtime/trainer/compute_device.h"
#include "runtime/trainer/resume.h"
#include "runtime/trainer/training_parts.h"
#include "runtime/trainer/training_run.h"

namespace hetmoe {

/// What all ranks agree on before the first step, one thing after another. All calls are collective
/// and blocking; errors are AgreedErrors.

/// The run's folder, as every rank sees it.
struct AgreedRun {
  RunDirectory directory;
  int generation = 1;
  std::unique_ptr<RunLock> lock;  ///< rank 0
};
AgreedRun agreed_run(const TrainingRequest& request, Communicator& control);

/// The checkpoint that the request names, or the newest of the run directory's; none with
/// `--resume never` or where nothing is committed. Then also the one whose weights `--init` asks
/// for; a run that goes on does not look at that again.
ResumePoint find_resume_point(const TrainingRequest& request, const RunDirectory& directory,
                              Communicator& control);

/// The first plan, new or that of the checkpoint, if the hosts and their GPUs can hold it.
Plan feasible_plan(const RunConfig& config, const ResumePoint& resume,
                   const TrafficClasses& traffic, const ComputeDevice& device);

/// The limits of the planner; on rank 0 with the cluster file, which only rank 0 reads.
PlanProblem problem_of_run(const RunConfig& config, const TrafficClasses& traffic);

/// Initial values, those of the checkpoint, or the masters of that of `--init` (moments 0).
Ownership::FillRows first_values(const RunConfig& config, ResumePoint& resume);

}  // namespace hetmoe
