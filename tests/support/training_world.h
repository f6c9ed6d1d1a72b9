#pragma once

#include <cstdint>
#include <memory>

#include "core/data/random_batch_reader.h"
#include "core/model/decoder.h"
#include "parallel/communicator/communicator.h"
#include "parallel/dispatch/statistics_all_reduce.h"
#include "parallel/ownership/ownership.h"
#include "parallel/placement/placement.h"
#include "runtime/run_config.h"
#include "runtime/trainer/step.h"

namespace hetmoe::test {

/// A model of about a thousand parameters, with four unequal experts in each of two layers, and a
/// step of seven sequences of random tokens.
RunConfig small_training();

/// Every expert on rank 0.
Placement whole_placement(const ModelConfig& model);

/// Experts dealt out over the ranks, every second one cut in two that lie on different ranks in
/// layer 0 (and on others in layer 1). With more ranks than experts some ranks are left without.
Placement cut_placement(const ModelConfig& model, int ranks);

/// All that one rank trains with. Collective: all ranks of `world` construct it and step together.
class TrainingWorld {
 public:
  TrainingWorld(const RunConfig& config, Communicator& world, const Placement& placement);

  StepOutcome step(std::int64_t number) { return step_.run(number); }
  ParameterStore& parameters() { return parameters_; }
  const Ownership& ownership() const { return ownership_; }
  const TrainingStep& training() const { return step_; }

 private:
  RunConfig config_;
  std::unique_ptr<Communicator> control_, dispatch_, gradients_, broadcasts_;
  RandomBatchReader reader_;
  SystemClock clock_;
  ParameterStore parameters_;
  Ownership ownership_;
  StatisticsAllReduce statistics_;
  std::unique_ptr<TokenDispatcher> dispatcher_;
  std::unique_ptr<ExpertKernels> kernels_;
  Decoder decoder_;
  TrainingStep step_;
};

}  // namespace hetmoe::test
