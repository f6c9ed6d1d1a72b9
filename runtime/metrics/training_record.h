#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hetmoe {

/// Seconds of one step by phase, mean over ranks. `other` takes the rest, so that the sum is the
/// step's time; forward and backward parts of dispatch, expert and combine are counted there and
/// not again in forward or backward.
struct PhaseSeconds {
  double data = 0;
  double forward = 0;
  double dispatch_wait = 0;
  double expert = 0;
  double combine_wait = 0;
  double backward = 0;
  double gradients = 0;
  double optimizer = 0;
  double parameters = 0;
  double other = 0;
};

/// Payload that ranks send to other ranks in one step.
struct StepBytes {
  std::int64_t dispatch = 0;    ///< of tokens, towards their experts, forward and backward
  std::int64_t combine = 0;     ///< of tokens, back, forward and backward
  std::int64_t gradients = 0;   ///< to the owners of parameters
  std::int64_t parameters = 0;  ///< updated compute copies from there; 0 in a skipped step
  /// Of the copies asked for in this step (most were sent in the one before): those that were there
  /// already, so that their way cost no time.
  std::int64_t parameters_hidden = 0;
  std::int64_t other_node = 0;  ///< of dispatch and combine: to ranks of other nodes

  std::int64_t all_to_all() const { return dispatch + combine; }
};

/// One training step, global over ranks. Units: losses in nats per token.
struct StepRecord {
  std::int64_t step = 0;         ///< from 1
  std::int64_t tokens = 0;       ///< seen so far, all ranks
  double loss = 0;               ///< language modelling only
  double parameter_penalty = 0;  ///< auxiliary terms: unweighted, summed over layers
  double load_balance = 0;
  double router_entropy = 0;
  double grad_norm = 0;  ///< before clipping
  double learning_rate = 0;
  std::int64_t skipped = 0;  ///< steps skipped so far
  double step_seconds = 0;   ///< maximum over ranks
  double tokens_per_second = 0;
  double model_flops_per_second = 0;  ///< all ranks
  PhaseSeconds phase_seconds;
  double flops_max_over_mean = 1;  ///< expert FLOPs, for the tokens really routed
  StepBytes bytes;                 ///< all ranks
  int generation = 1;
  /// [layers]; 1 where nothing was routed.
  std::vector<double> layer_flops_max_over_mean;
  std::vector<std::int64_t> expert_tokens;  ///< [experts]: selected, summed over layers, all ranks
  std::vector<double> rank_expert_flops;    ///< [ranks], forward and backward
  std::int64_t memory_bytes = 0;            ///< largest resident size of any rank so far
  std::int64_t device_memory_bytes = 0;     ///< most that any rank has held of its GPU; 0: CPUs
};

/// The run as a whole, as far as a step: what a report tells beside the step itself.
struct RunProgress {
  std::int64_t planned_steps = 0;     ///< train.steps
  double productive_seconds = 0;      ///< of all steps that count, all generations
  double elapsed_seconds = 0;         ///< since the first start of the run
  std::int64_t rebalances = 0;        ///< of this start
  double predicted_gain_seconds = 0;  ///< per step, of the last move that was measured; 0: none
  double measured_gain_seconds = 0;
  /// Of the expert layers in a step, by the plan that is in force; 0: no cluster is configured.
  double predicted_expert_seconds = 0;
  std::int64_t failed_saves = 0;            ///< of this start
  double save_blocked_seconds = 0;          ///< of this start: that training waited for saves
  std::int64_t checkpoint_every_steps = 0;  ///< 0: only on demand
  double peak_flops_per_second =
      0;  ///< of all ranks, metrics.peak_flops times their number; 0: not given
  std::vector<std::int64_t> expert_widths;
};

/// Slices that moved between ranks after a step.
struct RebalanceRecord {
  double predicted_gain_seconds = 0;  ///< per step
  double predicted_moving_seconds = 0;
  double planning_seconds = 0;
  double moving_seconds = 0;      ///< maximum over ranks
  std::int64_t moving_bytes = 0;  ///< of slices whose owner changed: masters, moments; all ranks
  double flops_max_over_mean_before = 1;  ///< over all layers, under the loads since the last look
  double flops_max_over_mean_after = 1;
};

/// What a rebalance has brought: median step seconds before it, less those since.
struct RebalanceGain {
  std::int64_t moved_after_step = 0;
  std::int64_t measured_steps = 0;  ///< since then
  double predicted_gain_seconds = 0;
  double measured_gain_seconds = 0;
};

/// What has come of saving a checkpoint.
struct SaveRecord {
  std::int64_t step = 0;
  bool committed = false;
  std::string failure;                ///< why not, when it is not
  std::int64_t bytes = 0;             ///< of all files
  double blocked_seconds = 0;         ///< that training waited for, on rank 0
  double seconds = 0;                 ///< from begin to commit
  std::vector<std::string> warnings;  ///< old checkpoints that could not be removed
};

/// One evaluation on held-out text.
struct EvaluationRecord {
  std::int64_t step = 0;
  double loss = 0;  ///< nats per token
  std::int64_t tokens = 0;
  double bits_per_byte = 0;
  int generation = 1;
};

}  // namespace hetmoe
