#pragma once

#include <cstdint>

#include "core/base/clock.h"
#include "core/data/random_batch_reader.h"
#include "parallel/communicator/communicator.h"
#include "parallel/placement/placement.h"
#include "runtime/run_config.h"
#include "runtime/trainer/training_parts.h"

namespace hetmoe::test {

/// A model of about a thousand parameters, with four unequal experts in each of two layers, and a
/// step of seven sequences of random tokens.
RunConfig small_training();

/// Every expert on rank 0.
Placement whole_placement(const ModelConfig& model);

/// Experts dealt out over the ranks, every second one cut in two that lie on different ranks in
/// layer 0 (and on others in layer 1). With more ranks than experts some ranks are left without.
Placement cut_placement(const ModelConfig& model, int ranks);

/// Expert 0 on rank 0; of expert 1 the first rows there and two replicas of the others; experts 2
/// and 3 on all ranks, with shares that grow with the rank. On one rank: whole_placement.
Placement replicated_placement(const ModelConfig& model, int ranks);

/// All that one rank trains with. Collective: all ranks of `world` construct it and step together.
class TrainingWorld {
 public:
  TrainingWorld(const RunConfig& config, Communicator& world, const Placement& placement);
  /// With other first values than the configured seed gives.
  TrainingWorld(const RunConfig& config, Communicator& world, const Placement& placement,
                const Ownership::FillRows& first);
  /// On this rank's GPU, where `devices` knows what goes on.
  TrainingWorld(const RunConfig& config, Communicator& world, const Placement& placement,
                DeviceGroups& devices);

  StepOutcome step(std::int64_t number) { return parts_.step().run(number); }
  void migrate(const Placement& placement) { parts_.migrate(placement); }
  /// With every compute copy in place: blocking, on all ranks.
  ParameterStore& parameters() {
    parts_.ownership().wait_all();
    return parts_.parameters();
  }
  const Ownership& ownership() const { return parts_.ownership(); }
  const TrainingStep& training() const { return parts_.step(); }
  void resume(std::int64_t updates) { parts_.step().resume(updates); }

 private:
  TrainingWorld(const RunConfig& config, Communicator& world, const Placement& placement,
                const Ownership::FillRows& first, DeviceGroups* devices);

  RunConfig config_;
  TrafficClasses traffic_;
  RandomBatchReader reader_;
  SystemClock clock_;
  TrainingParts parts_;
};

}  // namespace hetmoe::test
