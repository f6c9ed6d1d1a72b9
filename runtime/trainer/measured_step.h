#pragma once

#include <cstdint>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "runtime/metrics/training_record.h"
#include "runtime/trainer/process_memory.h"
#include "runtime/trainer/step.h"

namespace hetmoe {

/// What ranks were asked for while they computed a step, to be done after it. Agreed: what one rank
/// was told, all do.
struct StepWishes {
  bool save = false;           ///< a command
  bool rebalance = false;      ///< a command
  bool stop = false;           ///< a signal, or a command: save and end, to be run again
  bool stop_for_good = false;  ///< a command: save and end, not to be run again
  bool leave = false;          ///< the coordinator takes this rank for none of the run's
};

/// One step as this rank saw it.
struct OwnStep {
  PhaseSeconds phases;
  double step_seconds = 0;  ///< from the end of the previous step
  StepBytes bytes;          ///< sent
  StepWishes wishes;
  double expert_flops = 0;  ///< forward and backward
  PeakMemory memory;
};

/// Times and traffic of one step over all ranks.
struct MeasuredStep {
  double step_seconds = 0;  ///< maximum over ranks
  PhaseSeconds phases;      ///< mean over ranks; sums to step_seconds, on GPUs nearly
  StepBytes bytes;          ///< all ranks
  StepWishes wishes;        ///< of any rank
  std::vector<double> rank_expert_flops;
  PeakMemory memory;  ///< maximum over ranks
};

/// Collective, once per step: one sum of some 20 numbers and four per rank.
MeasuredStep measure_step(Communicator& control, const OwnStep& own);

/// Three times the forward products of one step, for the widths really selected.
double model_flops(const RunConfig& config, const std::vector<std::vector<std::int64_t>>& load);

}  // namespace hetmoe
