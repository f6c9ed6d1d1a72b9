#pragma once

#include <cstdint>
#include <vector>

#include "core/base/clock.h"
#include "parallel/communicator/communicator.h"
#include "parallel/placement/placement.h"
#include "runtime/run_config.h"
#include "runtime/trainer/training_data.h"
#include "runtime/trainer/training_parts.h"

namespace hetmoe {

/// The program's own parts over the data that a configuration names, with a placement of the test's
/// choice and without log and run directory.
class AssembledRun {
 public:
  /// Collective. train.precision: fp32 or bf16. Leaves LibTorch with one thread.
  AssembledRun(const RunConfig& config, Communicator& world, const Placement& placement);

  /// Collective. Steps are called in order, from 1.
  StepOutcome step(std::int64_t number) { return parts_.step().run(number); }

  /// Collective, between steps.
  void migrate(const Placement& placement) { parts_.migrate(placement); }

  /// After a step: its summed gradients before clipping, the rows that this rank owns.
  const Ownership& ownership() const { return parts_.ownership(); }

 private:
  RunConfig config_;
  SystemClock clock_;
  TrafficClasses traffic_;
  TrainingData data_;
  TrainingParts parts_;
};

/// Whole experts on ranks, as the planner puts them under a uniform load.
Placement whole_experts(const RunConfig& config, int ranks);

/// The same, but the widest expert of every layer is cut into one piece per rank, of unequal size,
/// and the narrowest into two on different ranks.
Placement with_cut_experts(const RunConfig& config, int ranks);

/// Slices that go elsewhere once a step is done.
struct Move {
  std::int64_t after_step = 0;
  Placement placement;
};

/// Outcomes of steps 1..steps of a run of its own on threads, as rank 0 saw them.
std::vector<StepOutcome> outcomes_of_run(const RunConfig& config, const Placement& placement,
                                         int ranks, std::int64_t steps,
                                         const std::vector<Move>& moves = {});

}  // namespace hetmoe
