#include "runtime/trainer/step.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <span>

#include "core/base/operation.h"
#include "core/model/parameter_specs.h"
#include "core/model/router.h"
#include "runtime/trainer/global_batch.h"

namespace hetmoe {
namespace {

PhaseSeconds named(const SecondsOfPhases& seconds) {
  const auto of = [&](Phase phase) { return seconds[static_cast<std::size_t>(phase)]; };
  return {.data = of(Phase::kData),
          .forward = of(Phase::kForward),
          .dispatch_wait = of(Phase::kDispatchWait),
          .expert = of(Phase::kExpert),
          .combine_wait = of(Phase::kCombineWait),
          .backward = of(Phase::kBackward),
          .gradients = of(Phase::kGradients),
          .optimizer = of(Phase::kOptimizer),
          .parameters = of(Phase::kParameters),
          .other = of(Phase::kOther)};
}

std::unique_ptr<WorkClock> clock_of(const StepParts& parts) {
  return parts.parameters.device().is_cpu() ? make_host_work_clock(parts.clock)
                                            : make_gpu_work_clock();
}

}  // namespace

struct TrainingStep::Totals {
  StepOutcome outcome;
  double loss_sum = 0;      ///< nats, this rank
  Deferred sum_of_squares;  ///< of owned gradients, this rank
  double non_finite = 0;
  /// What the GPU still counts: by microbatch the loss and the global statistics.
  std::vector<at::Tensor> losses_there, statistics_there;
};

TrainingStep::TrainingStep(const StepParts& parts)
    : parts_(parts),
      schedule_{.peak = parts.config.train.learning_rate,
                .warmup_steps = parts.config.train.warmup_steps,
                .cosine = parts.config.train.schedule == Schedule::kCosine,
                .final_ratio = parts.config.train.min_learning_rate_ratio,
                .total_steps = parts.config.train.steps},
      source_weights_(source_weights(parts.config, parts.control.size())),
      forced_(forced_workload(parts.config.model, parts.config.train.seed)),
      widths_(expert_widths(parts.config.model.experts)),
      relative_width_(relative_widths(widths_)),
      router_statistics_(parts.config.model.num_layers, parts.config.model.experts.count),
      phases_(clock_of(parts)) {}

StepOutcome TrainingStep::run(std::int64_t step) {
  const TrainConfig& train = parts_.config.train;
  Totals totals;
  phases_.enter(Phase::kOther);
  parts_.parameters.begin_gradients();
  token_units_.assign(static_cast<std::size_t>(parts_.config.model.num_layers), 0.0);
  for (std::int64_t index = 0; index < train.microbatches; ++index) {
    accumulate_microbatch(step, index, totals);
  }
  part_ = "sums of gradients";
  microbatch_ = 0;
  enter(Phase::kGradients);
  parts_.ownership.reduce_gradients();
  totals.sum_of_squares = parts_.ownership.owned_sum_of_squares();
  totals = agree(std::move(totals));

  StepOutcome& outcome = totals.outcome;
  outcome.learning_rate = schedule_.at(step);
  if (!outcome.skipped) {
    const bool clips = train.clip_norm > 0 && outcome.grad_norm > train.clip_norm;
    update_and_send({.learning_rate = outcome.learning_rate,
                     .beta1 = train.beta1,
                     .beta2 = train.beta2,
                     .epsilon = train.adam_epsilon,
                     .weight_decay = train.weight_decay,
                     .update = ++updates_,
                     .gradient_scale = clips ? train.clip_norm / outcome.grad_norm : 1.0});
  }
  enter(Phase::kOther);
  outcome.seconds = named(phases_.take());
  return std::move(outcome);
}

/// Whoever profiles the step hears of it, too.
void TrainingStep::enter(Phase phase) {
  if (operation_listener != nullptr) operation_listener->phase_ended(name_of(phases_.phase()));
  phases_.enter(phase);
}

std::string TrainingStep::doing() const {
  if (microbatch_ == 0) return part_;
  return std::string(part_) + " of microbatch " + std::to_string(microbatch_) + " of " +
         std::to_string(parts_.config.train.microbatches) + " (" + name_of(phases_.phase()) + ")";
}

/// One block is updated while the one before is on its way.
void TrainingStep::update_and_send(const AdamWStep& update) {
  part_ = "update";
  for (const int block : parts_.ownership.blocks()) {
    enter(Phase::kOptimizer);
    parts_.ownership.update(block, update);
    enter(Phase::kParameters);
    parts_.ownership.send_copies(block);
  }
}

void TrainingStep::accumulate_microbatch(std::int64_t step, std::int64_t index, Totals& totals) {
  const TrainConfig& train = parts_.config.train;
  enter(Phase::kData);
  const std::int64_t sequences = train.global_batch / train.microbatches;
  const PlaceRange mine =
      places_of_rank({index * sequences, sequences}, parts_.control.rank(), source_weights_);
  parts_.reader.read(step, places(mine), batch_);

  PassState pass{.microbatch = {.sequences = batch_.sequences,
                                .length = batch_.length,
                                .inputs = batch_.inputs,
                                .targets = batch_.targets,
                                .document_begin = batch_.document_begin,
                                .global_tokens = sequences * train.sequence_length,
                                .microbatches = train.microbatches,
                                .index = index,
                                .step = step,
                                .first_token = mine.first * train.sequence_length},
                 .statistics = &router_statistics_,
                 .phases = &phases_,
                 .token_units = token_units_,
                 .forced = forced_ ? &*forced_ : nullptr};
  router_statistics_.clear();
  part_ = "forward pass";
  microbatch_ = index + 1;
  enter(Phase::kForward);
  const Deferred loss = parts_.decoder.forward(pass);

  enter(Phase::kOther);
  if (loss.there().defined()) {
    parts_.statistics.all_reduce(pass.gpu.statistics);
    totals.losses_there.push_back(loss.there());
    totals.statistics_there.push_back(pass.gpu.statistics);
  } else {
    totals.loss_sum += loss.value();
    parts_.statistics.all_reduce(router_statistics_.values());
    add_statistics(totals);
  }

  part_ = "backward pass";
  enter(Phase::kBackward);
  parts_.decoder.backward(pass);
}

/// Of one microbatch, global by now.
void TrainingStep::add_statistics(Totals& totals) const {
  StepOutcome& outcome = totals.outcome;
  const TrainConfig& train = parts_.config.train;
  const int layers = parts_.config.model.num_layers;
  const double weight = 1.0 / static_cast<double>(train.microbatches);
  const std::int64_t global_tokens =
      train.global_batch / train.microbatches * train.sequence_length;
  outcome.load.resize(layers);
  for (int layer = 0; layer < layers; ++layer) {
    const ConstLayerStatistics statistics = std::as_const(router_statistics_).layer(layer);
    const AuxiliaryLosses losses =
        auxiliary_losses(parts_.config.model.router, relative_width_, statistics, global_tokens);
    outcome.parameter_penalty += weight * losses.parameter_penalty;
    outcome.load_balance += weight * losses.load_balance;
    outcome.router_entropy += weight * losses.router_entropy;
    // Already summed over ranks: one of them reports it, or it would count once per rank.
    if (parts_.control.rank() == 0) totals.non_finite += *statistics.non_finite;
    outcome.load[layer].resize(statistics.selected.size());
    for (std::size_t i = 0; i < statistics.selected.size(); ++i) {
      outcome.load[layer][i] += static_cast<std::int64_t>(std::llround(statistics.selected[i]));
    }
  }
}

/// The only place where the host waits for the GPU besides the split sizes of every dispatch.
double TrainingStep::fetch_from_gpu(Totals& totals) {
  std::vector<at::Tensor> there;
  const bool owns_any = totals.sum_of_squares.there().defined();
  if (owns_any) there.push_back(totals.sum_of_squares.there());
  there.insert(there.end(), totals.losses_there.begin(), totals.losses_there.end());
  there.insert(there.end(), totals.statistics_there.begin(), totals.statistics_there.end());
  const std::vector<double> values = fetched(there);
  auto next = values.begin() + (owns_any ? 1 : 0);
  for (std::size_t i = 0; i < totals.losses_there.size(); ++i) totals.loss_sum += *next++;
  for (std::size_t i = 0; i < totals.statistics_there.size(); ++i) {
    const std::span<double> statistics = router_statistics_.values();
    std::copy_n(next, statistics.size(), statistics.begin());
    next += static_cast<std::ptrdiff_t>(statistics.size());
    add_statistics(totals);
  }
  return owns_any ? values[0] : 0.0;
}

TrainingStep::Totals TrainingStep::agree(Totals totals) {
  const bool on_gpu = !totals.losses_there.empty();
  const double sum_of_squares = on_gpu ? fetch_from_gpu(totals) : totals.sum_of_squares.value();
  std::array<double, 3> values = {totals.loss_sum, sum_of_squares, totals.non_finite};
  parts_.control.all_reduce(buffer_of(std::span<double>(values)), Reduction::kSum).wait();
  const TrainConfig& train = parts_.config.train;
  StepOutcome& outcome = totals.outcome;
  outcome.loss = values[0] / static_cast<double>(train.global_batch * train.sequence_length);
  outcome.grad_norm = std::sqrt(values[1]);
  outcome.skipped =
      values[2] != 0 || !std::isfinite(outcome.loss) || !std::isfinite(outcome.grad_norm);
  outcome.expert_flops =
      3.0 * expert_forward_flops(parts_.config.model,
                                 std::reduce(token_units_.begin(), token_units_.end()));
  measure_balance(outcome);
  return totals;
}

void TrainingStep::measure_balance(StepOutcome& outcome) {
  parts_.control.all_reduce(buffer_of(std::span<double>(token_units_)), Reduction::kMax).wait();
  // Every expert group computes each of its tokens once, on however many ranks.
  const auto ratio = [ranks = parts_.control.size()](double largest, double all) {
    return all > 0 ? largest * ranks / all : 1.0;
  };
  double all = 0;
  outcome.layer_flops_max_over_mean.clear();
  for (std::size_t layer = 0; layer < outcome.load.size(); ++layer) {
    double of_layer = 0;
    for (std::size_t expert = 0; expert < outcome.load[layer].size(); ++expert) {
      of_layer += static_cast<double>(outcome.load[layer][expert] * widths_[expert]);
    }
    outcome.layer_flops_max_over_mean.push_back(ratio(token_units_[layer], of_layer));
    all += of_layer;
  }
  outcome.flops_max_over_mean = ratio(std::reduce(token_units_.begin(), token_units_.end()), all);
}

}  // namespace hetmoe
