#include "runtime/trainer/training_loop.h"

#include <string>
#include <utility>

#include "core/files/atomic_file.h"
#include "parallel/agreement.h"
#include "parallel/placement/cost.h"
#include "parallel/placement/plan_json.h"
#include "runtime/checkpoint/set_aside.h"
#include "runtime/trainer/evaluation.h"
#include "runtime/trainer/initial_plan.h"
#include "runtime/trainer/memory_check.h"
#include "runtime/trainer/process_memory.h"
#include "runtime/trainer/run_summary.h"

namespace hetmoe {

TrainingLoop::TrainingLoop(const TrainingRequest& request, RunConfig config,
                           const ComputeChoice& compute, TrafficClasses& traffic,
                           const AgreedRun& run, ResumePoint resume, Coordination& coordination,
                           MetricsExport& metrics, RankLog& rank_log)
    : request_(request),
      config_(std::move(config)),
      traffic_(traffic),
      directory_(run.directory),
      lock_(run.lock.get()),
      coordination_(coordination),
      metrics_(metrics),
      rank_log_(rank_log),
      on_gpu_(compute.device.on_gpu),
      resume_(std::move(resume)),
      plan_(feasible_plan(config_, resume_, traffic, compute.device)),
      data_(open_shared_training_data(config_, *traffic.control, /*count_unigrams=*/true)),
      parts_(config_, traffic, plan_.placement, *data_.train, request.clock,
             first_values(config_, resume_)),
      rebalancing_(config_, problem_of_run(config_, traffic), *traffic.control, request.clock),
      saving_(
          CheckpointFolder(directory_.checkpoints_folder()),
          {.newest = config_.checkpoint.keep, .every_steps = config_.checkpoint.keep_every_steps},
          tensor_shapes(config_.model), *traffic.control, request.clock,
          {.wait_seconds = config_.checkpoint.wait_seconds,
           .tell = [this](const SlowSave& slow) { log_->save_slow(slow); },
           .give_up = [this](int rank, const std::string& text) { give_up_save(rank, text); }},
          write_shard, &coordination) {
  start_.generation = run.generation;
  if (lock_ != nullptr) start_.taken_over = lock_->taken_over();
  if (resume_.checkpoint) this->resume(*resume_.checkpoint);
  if (resume_.weights) {
    start_.weights = resume_.weights->path().string();
    rank_log_.note("begins with the weights of " + start_.weights);
  }
  resume_.checkpoint.reset();
  resume_.weights.reset();
  rank_log_.note("holds " + std::to_string(parts_.parameters().elements()) + " parameters in " +
                 std::to_string(parts_.parameters().slice_count()) + " slices and dense tensors");
  start_log(compute);
  if (request.profile_steps > 0) start_profiling(compute);
}

void TrainingLoop::resume(const CheckpointReader& checkpoint) {
  const Manifest& manifest = checkpoint.manifest();
  start_.step = manifest.step + 1;
  start_.skipped_steps = manifest.state.skipped_steps;
  start_.checkpoint = checkpoint.path().string();
  skipped_ = manifest.state.skipped_steps;
  loads_.restore(manifest.state.loads);
  parts_.step().resume(manifest.state.optimizer_updates);
  rank_log_.note("goes on after step " + std::to_string(manifest.step) + " from " +
                 start_.checkpoint);
}

void TrainingLoop::start_log(const ComputeChoice& compute) {
  collectively(*traffic_.control, [&] {
    if (!is_first()) return;
    write_file_atomically(directory_.config_file(), resolved_yaml(config_));
    write_file_atomically(directory_.plan_file(), write_plan(plan_));
    copy_cluster_file(config_, directory_);
    log_ = std::make_unique<RunLog>(config_, directory_, request_.clock,
                                    Output{request_.out, request_.terminal}, start_);
    log_->started(summarize_run({.config = config_,
                                 .config_name = request_.config_name,
                                 .directory = directory_,
                                 .plan = plan_,
                                 .groups = traffic_.groups,
                                 .cores = compute.cores,
                                 .device = compute.device.name,
                                 .sources = data_.sources}));
    log_->predicted(rebalancing_.predicted_expert_seconds(plan_.placement));
    for (const std::string& reason : resume_.passed_over) log_->warning("passed over: " + reason);
    if (!start_.taken_over.empty()) log_->warning(start_.taken_over);
    if (!start_.checkpoint.empty()) {
      log_->note("goes on after step " + std::to_string(start_.step - 1) + " from " +
                 start_.checkpoint);
      const CheckpointFolder checkpoints(directory_.checkpoints_folder());
      for (const std::string& line :
           set_aside_after(checkpoints, start_.step - 1, start_.generation)) {
        log_->warning(line);
      }
    }
    if (!start_.weights.empty()) log_->note("begins with the weights of " + start_.weights);
    for (const std::string& note : resume_.notes) log_->note(note);
    if (missed_cap(uniform_problem(config_, traffic_.groups), plan_)) {
      log_->warning(
          "a rank holds more than placement.memory_cap_ratio allows: experts are too few "
          "or too large for these ranks at this placement.granularity and strategy");
    }
    for (const std::string& note : compute.notes) log_->note(note);
    for (const std::string& warning : compute.warnings) log_->warning(warning);
  });
}

void TrainingLoop::start_profiling(const ComputeChoice& compute) {
  collectively(*traffic_.control, [&] {
    if (!compute.device.on_gpu) return;
    throw ConfigError(
        "--profile tells what a CPU does, but the ranks compute on GPUs: profile "
        "those with Nsight Systems");
  });
  profiling_.emplace(ProfilingRequest{
      .steps = request_.profile_steps,
      .first_step = start_.step,
      .last_step = config_.train.steps,
      .folder = directory_.profile_folder(),
      .precision = compute.precision == Precision::kBf16 ? "bf16" : "fp32",
      .tokens = static_cast<double>(config_.train.global_batch * config_.train.sequence_length),
      .control = *traffic_.control,
      .clock = request_.clock});
}

/// What the measurement takes is no part of the step.
void TrainingLoop::end_profiled_step(std::int64_t step, const StepOutcome& outcome) {
  const double before = request_.clock.monotonic_seconds();
  const std::string table = profiling_->end_step(step, model_flops(config_, outcome.load));
  if (table.empty()) return;
  if (log_) log_->profile(table);
  profiling_.reset();
  step_end_seconds_ += request_.clock.monotonic_seconds() - before;
}

void TrainingLoop::run() {
  if (start_.step > config_.train.steps) {
    if (!log_) return;
    log_->note("nothing left to do: train.steps is " + std::to_string(config_.train.steps));
    leave_done();
    return;
  }
  step_end_seconds_ = request_.clock.monotonic_seconds();
  bytes_sent_ = bytes_since({});
  for (std::int64_t step = start_.step; step <= config_.train.steps; ++step) {
    train_one_step(step);
    evaluate_if_due(step);
    rebalance_if_due(step);
    save_if_due(step);
    tell_commands(step);
    if (stops() && step < config_.train.steps) stop(step);
  }
  finish();
}

void TrainingLoop::train_one_step(std::int64_t step) {
  traffic_.begin_step(step);
  coordination_.enter(step, "training");
  if (lock_ != nullptr && lock_->lost()) throw StorageError(lock_->lost_text());
  const StepOutcome outcome = run_step(step);
  const MeasuredStep measured = measure(step, outcome);
  leave_if_expelled();
  rebalancing_.add_step(outcome, measured);
  loads_.add(outcome.load);
  if (log_) coordination_.report(log_->step(step, outcome, measured), log_->progress());
  if (outcome.skipped) rank_log_.note("step " + std::to_string(step) + " skipped: not finite");
  skipped_ += outcome.skipped ? 1 : 0;
  skipped_in_row_ = outcome.skipped ? skipped_in_row_ + 1 : 0;
  if (skipped_in_row_ > config_.train.max_skipped_in_row) {
    throw AgreedError(ExitCode::kNonFinite,
                      "step " + std::to_string(step) + ": " + std::to_string(skipped_in_row_) +
                          " steps in a row had a non-finite loss, gradient norm or router logit, "
                          "allowed: train.max_skipped_in_row " +
                          std::to_string(config_.train.max_skipped_in_row));
  }
}

StepOutcome TrainingLoop::run_step(std::int64_t step) {
  StepOutcome outcome;
  tell_short_memory([&] { return "step " + std::to_string(step) + ", " + parts_.step().doing(); },
                    [&] {
                      if (profiling_) profiling_->begin_step(step);
                      outcome = parts_.step().run(step);
                    });
  if (profiling_) end_profiled_step(step, outcome);
  return outcome;
}

MeasuredStep TrainingLoop::measure(std::int64_t step, const StepOutcome& outcome) {
  const double now = request_.clock.monotonic_seconds();
  const double step_seconds = now - std::exchange(step_end_seconds_, now);
  const PeakMemory memory = peak_memory(on_gpu_);
  coordination_.step_ended(outcome, step_seconds, memory);
  StepWishes wishes = coordination_.wishes();
  wishes.stop = wishes.stop || (request_.stop_requested && request_.stop_requested());
  const OwnStep own = {.phases = outcome.seconds,
                       .step_seconds = step_seconds,
                       .bytes = bytes_since(bytes_sent_),
                       .wishes = wishes,
                       .expert_flops = outcome.expert_flops,
                       .memory = memory};
  MeasuredStep measured = measure_step(*traffic_.control, own);
  show_metrics(step, outcome, own);
  wishes_ = measured.wishes;
  bytes_sent_ = bytes_since({});
  return measured;
}

void TrainingLoop::show_metrics(std::int64_t step, const StepOutcome& outcome, const OwnStep& own) {
  const bool tells_load = config_.metrics.detail && is_first();
  metrics_.add({.step = step,
                .step_seconds = own.step_seconds,
                .phases = own.phases,
                .bytes = own.bytes,
                .expert_flops = own.expert_flops,
                .memory_bytes = own.memory.host_bytes,
                .device_memory_bytes = own.memory.device_bytes,
                .load = tells_load ? &outcome.load : nullptr});
  metrics_.set_coordinator_reached(!coordination_.is_away() && coordination_.refusal().empty());
}

/// The coordinator knows of a later start of this run, or does not know this one at all.
void TrainingLoop::leave_if_expelled() {
  if (!wishes_.leave) return;
  collectively(*traffic_.control, [&] {
    const std::string refusal = coordination_.refusal();
    if (!refusal.empty()) throw Error(ExitCode::kCoordinator, refusal);
  });
}

/// Once all ranks have done what was asked for.
void TrainingLoop::tell_commands(std::int64_t step) {
  for (const AcceptedCommand& command : coordination_.executed(step)) {
    if (log_) log_->command(step, command_name(command.kind), command.number);
  }
  for (const std::string& note : coordination_.take_notes()) {
    rank_log_.note(note);
    if (log_) log_->note(note);
  }
}

StepBytes TrainingLoop::bytes_since(const StepBytes& before) const {
  const UpdateBytes& updates = parts_.ownership().update_bytes();
  const ExchangedBytes exchanged = parts_.mixture().bytes_sent();
  return {.dispatch = exchanged.dispatch - before.dispatch,
          .combine = exchanged.combine - before.combine,
          .gradients = updates.gradients - before.gradients,
          .parameters = updates.parameters - before.parameters,
          .parameters_hidden = updates.parameters_hidden - before.parameters_hidden,
          .other_node = exchanged.other_node - before.other_node};
}

void TrainingLoop::evaluate_if_due(std::int64_t step) {
  const std::int64_t every = config_.evaluate.every_steps;
  if (!data_.valid || every == 0) return;
  if (step % every != 0 && step != config_.train.steps) return;
  coordination_.enter(step, "evaluating");
  const EvaluationRecord record = evaluate({.config = config_,
                                            .decoder = parts_.decoder(),
                                            .gate = parts_.ownership(),
                                            .control = *traffic_.control,
                                            .reader = *data_.valid,
                                            .bytes_per_token = data_.valid_bytes_per_token},
                                           step);
  if (log_) log_->evaluation(record);
  bytes_sent_ = bytes_since({});
  step_end_seconds_ = request_.clock.monotonic_seconds();
}

void TrainingLoop::rebalance_if_due(std::int64_t step) {
  if (!rebalancing_.is_due(step, wishes_.rebalance)) return;
  coordination_.enter(step, "rebalancing");
  log_gain_of_move(step);
  std::optional<Plan> plan = rebalancing_.look(step, plan_.placement);
  if (plan) move_slices(step, std::move(*plan));
  if (log_) log_->predicted(rebalancing_.predicted_expert_seconds(plan_.placement));
  bytes_sent_ = bytes_since({});
  step_end_seconds_ = request_.clock.monotonic_seconds();
}

/// plan.json is written when every rank has its slices: what it says is always where they are.
void TrainingLoop::move_slices(std::int64_t step, Plan plan) {
  const double begin = request_.clock.monotonic_seconds();
  parts_.migrate(plan.placement);
  const RebalanceRecord record = rebalancing_.moved(request_.clock.monotonic_seconds() - begin);
  plan_ = std::move(plan);
  collectively(*traffic_.control, [&] {
    if (!is_first()) return;
    write_file_atomically(directory_.plan_file(), write_plan(plan_));
    log_->rebalance(step, record);
  });
  rank_log_.note("slices moved after step " + std::to_string(step) + ", now " +
                 std::to_string(parts_.parameters().slice_count()) + " slices");
}

void TrainingLoop::log_gain_of_move(std::int64_t step) {
  const std::optional<RebalanceGain> gain = rebalancing_.take_gain();
  if (gain && log_) log_->rebalance_gain(step, *gain);
}

/// What waits for a save is no part of a step.
void TrainingLoop::save_if_due(std::int64_t step) {
  const CheckpointConfig& checkpoint = config_.checkpoint;
  saving_.poll();
  log_save();
  const bool is_last = checkpoint.last_step && (stops() || step == config_.train.steps);
  const bool is_due = checkpoint.every_steps > 0 && step % checkpoint.every_steps == 0;
  if (!is_last && !is_due && !wishes_.save) return;
  coordination_.enter(step, "saving");
  saving_.wait();
  log_save();
  if (log_) log_->save_begun(step);
  saving_.begin(manifest_of(step), parts_.ownership().owned());
  step_end_seconds_ = request_.clock.monotonic_seconds();
}

Manifest TrainingLoop::manifest_of(std::int64_t step) const {
  Manifest manifest;
  manifest.step = step;
  manifest.tokens = step * config_.train.global_batch * config_.train.sequence_length;
  manifest.generation = start_.generation;
  manifest.state = {.sampler_seed = config_.train.seed,
                    .optimizer_updates = parts_.step().updates(),
                    .skipped_steps = skipped_,
                    .loads = loads_.tokens(),
                    .ranks = traffic_.groups.ranks(),
                    .expert_group_size = traffic_.groups.size,
                    .plan = write_plan(plan_),
                    .config = resolved_yaml(config_)};
  return manifest;
}

void TrainingLoop::log_save() {
  std::optional<SaveRecord> record = saving_.take_result();
  if (!record) return;
  rank_log_.note("save of step " + std::to_string(record->step) +
                 (record->committed ? " committed" : " failed: " + record->failure));
  if (log_) log_->saved(*record);
  last_save_ = std::move(record);
}

}  // namespace hetmoe
