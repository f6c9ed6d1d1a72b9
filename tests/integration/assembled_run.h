#pragma once

#include <memory>
#include <vector>

#include "core/base/clock.h"
#include "core/kernels/expert_kernels.h"
#include "core/model/decoder.h"
#include "core/model/parameter_store.h"
#include "core/model/token_dispatcher.h"
#include "parallel/communicator/communicator.h"
#include "parallel/dispatch/statistics_all_reduce.h"
#include "parallel/ownership/ownership.h"
#include "parallel/placement/placement.h"
#include "runtime/run_config.h"
#include "runtime/trainer/step.h"
#include "runtime/trainer/training_data.h"

namespace hetmoe {

/// A training run from the program's own parts, put together as runtime/trainer does it, but with a
/// placement of the test's choice and without log and run directory.
class AssembledRun {
 public:
  /// Collective. train.precision: fp32 or bf16. Leaves LibTorch with one thread.
  AssembledRun(const RunConfig& config, Communicator& world, const Placement& placement);
  AssembledRun(const AssembledRun&) = delete;
  AssembledRun& operator=(const AssembledRun&) = delete;

  /// Collective. Steps are called in order, from 1.
  StepOutcome step(std::int64_t number) { return step_.run(number); }

  /// After a step: its summed gradients before clipping, the rows that this rank owns.
  const Ownership& ownership() const { return ownership_; }

 private:
  RunConfig config_;
  SystemClock clock_;
  std::unique_ptr<Communicator> control_, dispatch_, gradients_, parameters_traffic_;
  TrainingData data_;
  ParameterStore parameters_;
  Ownership ownership_;
  StatisticsAllReduce statistics_;
  std::unique_ptr<TokenDispatcher> dispatcher_;
  std::unique_ptr<ExpertKernels> kernels_;
  Decoder decoder_;
  TrainingStep step_;
};

/// Whole experts on ranks, as the planner puts them under a uniform load.
Placement whole_experts(const RunConfig& config, int ranks);

/// The same, but the widest expert of every layer is cut into one piece per rank, of unequal size,
/// and the narrowest into two on different ranks.
Placement with_cut_experts(const RunConfig& config, int ranks);

/// Outcomes of steps 1..steps of a run of its own on threads, as rank 0 saw them.
std::vector<StepOutcome> outcomes_of_run(const RunConfig& config, const Placement& placement,
                                         int ranks, std::int64_t steps);

}  // namespace hetmoe
