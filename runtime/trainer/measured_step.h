#pragma once

#include <cstdint>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "runtime/metrics/training_record.h"
#include "runtime/trainer/step.h"

namespace hetmoe {

/// Times and traffic of one step over all ranks.
struct MeasuredStep {
  double step_seconds = 0;  ///< maximum over ranks
  PhaseSeconds phases;      ///< mean over ranks; sums to step_seconds
  StepBytes bytes;          ///< all ranks
  bool stop = false;        ///< some rank was told to stop
};

/// Collective, once per step. `step_seconds`: this rank's, from the end of the previous step;
/// `bytes`: what this rank sent; `stop`: whether this rank was told to stop after this step.
MeasuredStep measure_step(Communicator& control, const PhaseSeconds& phases, double step_seconds,
                          const StepBytes& bytes, bool stop);

/// Three times the forward products of one step, for the widths really selected.
double model_flops(const RunConfig& config, const std::vector<std::vector<std::int64_t>>& load);

}  // namespace hetmoe
