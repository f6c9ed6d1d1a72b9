#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/data/batch_reader.h"
#include "core/model/decoder.h"
#include "core/optim/schedule.h"
#include "core/tensor/phase_clock.h"
#include "parallel/communicator/communicator.h"
#include "parallel/ownership/ownership.h"
#include "runtime/metrics/training_record.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// What one step is made of; all of it must outlive the step.
struct StepParts {
  const RunConfig& config;
  Decoder& decoder;
  ParameterStore& parameters;
  Ownership& ownership;
  StatisticsReducer& statistics;
  Communicator& control;
  BatchReader& reader;
  const Clock& clock;
};

/// What a step did. Everything but `seconds` and `expert_flops` is the same on every rank.
struct StepOutcome {
  double loss = 0;  ///< language modelling, nats per token, global
  double parameter_penalty = 0;
  double load_balance = 0;
  double router_entropy = 0;
  double grad_norm = 0;  ///< before clipping
  double learning_rate = 0;
  bool skipped = false;  ///< loss, norm or a router logit was not finite
  /// Sum over layers of the largest rank's expert FLOPs over the sum of the means; 1: even, or
  /// nothing was routed.
  double flops_max_over_mean = 1;
  std::vector<double> layer_flops_max_over_mean;  ///< [layers]: the same of each
  /// [layers][experts]: tokens that selected the expert, all ranks.
  std::vector<std::vector<std::int64_t>> load;
  /// This rank. On a GPU what follows the verdict on the step (optimizer, parameters) is that of
  /// the step before, for the host does not wait for it.
  PhaseSeconds seconds;
  double expert_flops = 0;  ///< this rank, forward and backward
};

/// One training step: the parameters of step n from those of step n - 1. No logging, no files.
class TrainingStep {
 public:
  /// Errors: AgreedError when train.source_weights are not as many as the ranks. Collective in
  /// that all ranks construct it.
  explicit TrainingStep(const StepParts& parts);

  /// Collective over the world. `step` counts from 1. Updated parameters are still on their way
  /// when it returns: the next pass, or Ownership::wait_all, waits for them. A step whose loss,
  /// norm or routing is not finite on any rank is skipped by all of them together: nothing is
  /// updated or sent.
  StepOutcome run(std::int64_t step);

  /// What `run` is at, or was when it failed: "forward pass of microbatch 1 of 2
  /// (expert)", with the phase that it failed in.
  std::string doing() const;

  /// Goes on where a run with so many updates was saved. Before the first step.
  void resume(std::int64_t updates) { updates_ = updates; }

  /// Updates made so far: AdamW's bias correction counts these and not skipped steps.
  std::int64_t updates() const { return updates_; }

 private:
  struct Totals;

  void enter(Phase phase);
  void accumulate_microbatch(std::int64_t step, std::int64_t index, Totals& totals);
  Totals agree(Totals totals);
  void update_and_send(const AdamWStep& update);
  double fetch_from_gpu(Totals& totals);
  void add_statistics(Totals& totals) const;
  void measure_balance(StepOutcome& outcome);

  StepParts parts_;
  LearningRateSchedule schedule_;
  std::vector<std::int64_t> source_weights_;
  std::optional<Workload> forced_;
  std::vector<std::int64_t> widths_;
  std::vector<double> relative_width_;
  RouterStatistics router_statistics_;
  std::vector<double> token_units_;  ///< [layers] of this step and rank, then the largest rank's
  PhaseClock phases_;
  Batch batch_;
  const char* part_ = "";
  std::int64_t microbatch_ = 0;  ///< from 1; 0: of the whole step
  std::int64_t updates_ = 0;
};

}  // namespace hetmoe
