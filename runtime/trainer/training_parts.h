#pragma once

#include <memory>

#include "core/base/clock.h"
#include "core/data/batch_reader.h"
#include "core/model/decoder.h"
#include "core/model/parameter_store.h"
#include "parallel/communicator/collective_log.h"
#include "parallel/communicator/communicator.h"
#include "parallel/communicator/device_groups.h"
#include "parallel/dispatch/placed_mixture.h"
#include "parallel/dispatch/statistics_all_reduce.h"
#include "parallel/ownership/ownership.h"
#include "parallel/placement/expert_groups.h"
#include "parallel/placement/placement.h"
#include "runtime/run_config.h"
#include "runtime/trainer/step.h"

namespace hetmoe {

/// One communicator per class of traffic: calls on each are in one fixed order. Collective. With a
/// log, which must outlive this, their collectives are recorded.
struct TrafficClasses {
  ExpertGroups groups;
  CollectiveLog* collectives;  ///< null: none
  std::unique_ptr<Communicator> control;
  std::unique_ptr<Communicator> dispatch;  ///< the ranks of one expert group; the others: the world
  std::unique_ptr<Communicator> gradients;
  std::unique_ptr<Communicator> parameters;

  /// `world` must outlive this.
  TrafficClasses(Communicator& world, const ExpertGroups& groups, CollectiveLog* log = nullptr);

  /// From now on all but control go over the memory of this rank's GPU. `devices` knows what goes
  /// on there and must outlive this. Collective, blocking, before anything else uses them.
  void move_to_gpu(DeviceGroups& devices);

  /// Collectives from here on are recorded as this step's.
  void begin_step(std::int64_t step) const;

 private:
  Communicator& world_;
};

/// What one rank trains with, put together: parameters of the slices placed here, their owners, the
/// mixture, the decoder and the step.
class TrainingParts {
 public:
  /// Collective. `config.train.precision` must be resolved. `placement` is over the ranks of a
  /// group. Parameters get the values that `first` gives, see Ownership::assign. Everything else
  /// given must outlive this.
  TrainingParts(const RunConfig& config, const TrafficClasses& traffic, const Placement& placement,
                BatchReader& reader, const Clock& clock, const Ownership::FillRows& first);

  /// Slices go to where `placement` puts them, with masters and moments. Collective, between steps,
  /// in groups of two ranks or more. See Ownership::migrate.
  void migrate(const Placement& placement);

  ParameterStore& parameters() { return parameters_; }
  Ownership& ownership() { return ownership_; }
  const Ownership& ownership() const { return ownership_; }
  const Mixture& mixture() const { return mixture_.get(); }
  Decoder& decoder() { return decoder_; }
  TrainingStep& step() { return step_; }
  const TrainingStep& step() const { return step_; }

 private:
  ParameterStore parameters_;
  Ownership ownership_;
  StatisticsAllReduce statistics_;
  PlacedMixture mixture_;
  Decoder decoder_;
  TrainingStep step_;
};

}  // namespace hetmoe
