#include "runtime/trainer/training_run.h"

#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "parallel/agreement.h"
#include "parallel/placement/cost.h"
#include "parallel/placement/plan_json.h"
#include "core/files/atomic_file.h"
#include "runtime/metrics/rank_log.h"
#include "runtime/trainer/compute_choice.h"
#include "runtime/trainer/evaluation.h"
#include "runtime/trainer/initial_plan.h"
#include "runtime/trainer/memory_check.h"
#include "runtime/trainer/process_memory.h"
#include "runtime/trainer/rebalancing.h"
#include "runtime/trainer/run_log.h"
#include "runtime/trainer/run_summary.h"
#include "runtime/trainer/training_data.h"
#include "runtime/trainer/training_parts.h"

namespace hetmoe {
namespace {

RunDirectory agreed_run_directory(const TrainingRequest& request, Communicator& control) {
  std::string path;
  std::string marker;
  collectively(control, [&] {
    if (control.rank() != 0) return;
    const auto directory =
        RunDirectory::create(request.run_directory, request.config_name, request.clock);
    path = directory.path().string();
    marker = directory.write_marker().string();
  });
  path = broadcast_text(control, std::move(path), 0);
  marker = broadcast_text(control, std::move(marker), 0);
  RunDirectory directory = RunDirectory::open(path);
  try {
    collectively(control, [&] {
      if (!visible(marker)) {
        throw StorageError("run directory " + path +
                           " is not visible from every rank: it must lie on a shared file system");
      }
    });
  } catch (const AgreedError&) {
    if (control.rank() == 0) {
      directory.remove_marker();
      directory.release();
    }
    throw;
  }
  if (control.rank() == 0) directory.remove_marker();
  return directory;
}

std::int64_t peak_memory_bytes(Communicator& control) {
  std::array<std::int64_t, 1> bytes = {peak_resident_bytes()};
  control.all_reduce(buffer_of(std::span<std::int64_t>(bytes)), Reduction::kMax).wait();
  return bytes[0];
}

class TrainingRun {
 public:
  TrainingRun(const TrainingRequest& request, RunConfig config, const ComputeChoice& compute,
              TrafficClasses& traffic, RunDirectory directory, RankLog& rank_log);

  void run();

 private:
  void start_log(const ComputeChoice& compute);
  void train_one_step(std::int64_t step);
  StepBytes bytes_since(const StepBytes& before) const;
  void evaluate_if_due(std::int64_t step);
  void rebalance_if_due(std::int64_t step);
  void move_slices(std::int64_t step, Plan plan);
  void log_gain_of_move(std::int64_t step);
  void finish();
  bool is_first() const { return traffic_.control->rank() == 0; }

  const TrainingRequest& request_;
  RunConfig config_;
  TrafficClasses& traffic_;
  RunDirectory directory_;
  RankLog& rank_log_;
  Plan plan_;
  TrainingData data_;
  TrainingParts parts_;
  Rebalancing rebalancing_;
  std::unique_ptr<RunLog> log_;  ///< rank 0
  double step_end_seconds_ = 0;
  StepBytes bytes_sent_;  ///< so far, this rank
  std::int64_t skipped_in_row_ = 0;
};

/// Every rank opens its own view of the data; on node-local folders they may differ, and ranks that
/// count different windows would wait for one another for ever.
TrainingData open_data(const RunConfig& config, Communicator& control) {
  TrainingData data;
  collectively(control, [&] { data = open_training_data(config, control.rank() == 0); });
  const std::array<std::int64_t, 2> windows = {data.train->num_windows(),
                                               data.valid ? data.valid->num_windows() : 0};
  std::array<std::int64_t, 2> of_first = windows;
  control.broadcast(buffer_of(std::span<std::int64_t>(of_first)), 0).wait();
  collectively(control, [&] {
    if (windows != of_first) {
      throw StorageError("data.train and data.valid hold " + std::to_string(windows[0]) + " and " +
                         std::to_string(windows[1]) + " windows here, but " +
                         std::to_string(of_first[0]) + " and " + std::to_string(of_first[1]) +
                         " on rank 0: all ranks must read the same files");
    }
  });
  return data;
}

/// The first plan, if this host can hold it.
Plan feasible_plan(const RunConfig& config, const TrafficClasses& traffic) {
  Plan plan = make_initial_plan(config, traffic.groups, *traffic.control);
  require_memory(config, plan.placement, traffic.groups, *traffic.control);
  return plan;
}

/// Only rank 0 plans, and so only rank 0 reads the cluster file.
PlanProblem problem_of_run(const RunConfig& config, const TrafficClasses& traffic) {
  std::optional<Cluster> cluster;
  collectively(*traffic.control, [&] {
    if (traffic.control->rank() == 0) cluster = configured_cluster(config);
  });
  return uniform_problem(config, traffic.groups, cluster);
}

std::string started_text(const TrafficClasses& traffic, const ComputeChoice& compute) {
  return "rank " + std::to_string(traffic.control->rank()) + " of " +
         std::to_string(traffic.control->size()) + ", process " + std::to_string(getpid()) +
         ", threads " + std::to_string(compute.threads);
}

TrainingRun::TrainingRun(const TrainingRequest& request, RunConfig config,
                         const ComputeChoice& compute, TrafficClasses& traffic,
                         RunDirectory directory, RankLog& rank_log)
    : request_(request),
      config_(std::move(config)),
      traffic_(traffic),
      directory_(std::move(directory)),
      rank_log_(rank_log),
      plan_(feasible_plan(config_, traffic)),
      data_(open_data(config_, *traffic.control)),
      parts_(config_, traffic, plan_.placement, *data_.train, request.clock),
      rebalancing_(config_, problem_of_run(config_, traffic), *traffic.control, request.clock) {
  rank_log_.note("holds " + std::to_string(parts_.parameters().elements()) + " parameters in " +
                 std::to_string(parts_.parameters().slice_count()) + " slices and dense tensors");
  start_log(compute);
}

void TrainingRun::start_log(const ComputeChoice& compute) {
  collectively(*traffic_.control, [&] {
    if (!is_first()) return;
    write_file_atomically(directory_.config_file(), resolved_yaml(config_));
    write_file_atomically(directory_.plan_file(), write_plan(plan_));
    copy_cluster_file(config_, directory_);
    log_ = std::make_unique<RunLog>(config_, directory_, request_.clock,
                                    Output{request_.out, request_.terminal});
    log_->started(summarize_run({.config = config_,
                                 .config_name = request_.config_name,
                                 .directory = directory_,
                                 .plan = plan_,
                                 .groups = traffic_.groups,
                                 .threads = compute.threads}));
    if (missed_cap(uniform_problem(config_, traffic_.groups), plan_)) {
      log_->warning(
          "a rank holds more than placement.memory_cap_ratio allows: experts are too few "
          "or too large for these ranks at this placement.granularity and strategy");
    }
    for (const std::string& note : compute.notes) log_->note(note);
    for (const std::string& warning : compute.warnings) log_->warning(warning);
  });
}

void TrainingRun::run() {
  step_end_seconds_ = request_.clock.monotonic_seconds();
  bytes_sent_ = bytes_since({});
  for (std::int64_t step = 1; step <= config_.train.steps; ++step) {
    train_one_step(step);
    evaluate_if_due(step);
    rebalance_if_due(step);
  }
  finish();
}

void TrainingRun::train_one_step(std::int64_t step) {
  const StepOutcome outcome = parts_.step().run(step);
  const double now = request_.clock.monotonic_seconds();
  const MeasuredStep measured = measure_step(*traffic_.control, outcome.seconds,
                                             now - step_end_seconds_, bytes_since(bytes_sent_));
  step_end_seconds_ = now;
  bytes_sent_ = bytes_since({});
  rebalancing_.add_step(outcome, measured);
  if (log_) log_->step(step, outcome, measured);
  if (outcome.skipped) rank_log_.note("step " + std::to_string(step) + " skipped: not finite");
  skipped_in_row_ = outcome.skipped ? skipped_in_row_ + 1 : 0;
  if (skipped_in_row_ > config_.train.max_skipped_in_row) {
    throw AgreedError(ExitCode::kNonFinite,
                      "step " + std::to_string(step) + ": " + std::to_string(skipped_in_row_) +
                          " steps in a row had a non-finite loss, gradient norm or router logit, "
                          "allowed: train.max_skipped_in_row " +
                          std::to_string(config_.train.max_skipped_in_row));
  }
}

StepBytes TrainingRun::bytes_since(const StepBytes& before) const {
  const SentBytes& sent = parts_.ownership().bytes_sent();
  return {.all_to_all = parts_.dispatcher().bytes_sent() - before.all_to_all,
          .gradients = sent.gradients - before.gradients,
          .parameters = sent.parameters - before.parameters};
}

void TrainingRun::evaluate_if_due(std::int64_t step) {
  const std::int64_t every = config_.evaluate.every_steps;
  if (!data_.valid || every == 0) return;
  if (step % every != 0 && step != config_.train.steps) return;
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

void TrainingRun::rebalance_if_due(std::int64_t step) {
  if (!rebalancing_.is_due(step)) return;
  log_gain_of_move(step);
  std::optional<Plan> plan = rebalancing_.look(step, plan_.placement);
  if (plan) move_slices(step, std::move(*plan));
  bytes_sent_ = bytes_since({});
  step_end_seconds_ = request_.clock.monotonic_seconds();
}

/// plan.json is written when every rank has its slices: what it says is always where they are.
void TrainingRun::move_slices(std::int64_t step, Plan plan) {
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

void TrainingRun::log_gain_of_move(std::int64_t step) {
  const std::optional<RebalanceGain> gain = rebalancing_.take_gain();
  if (gain && log_) log_->rebalance_gain(step, *gain);
}

void TrainingRun::finish() {
  parts_.ownership().wait_all();
  log_gain_of_move(config_.train.steps);
  const std::int64_t memory = peak_memory_bytes(*traffic_.control);
  rank_log_.note("finished after step " + std::to_string(config_.train.steps) +
                 ", peak memory of this rank " + std::to_string(peak_resident_bytes()) + " bytes");
  if (!log_) return;
  FinalSummary summary;
  summary.peak_memory_bytes = memory;
  summary.run_directory = directory_.path().string();
  if (data_.valid_unigram_entropy > 0) summary.unigram_entropy = data_.valid_unigram_entropy;
  log_->finished(std::move(summary));
  directory_.write_exit_json(ExitCode::kDone, "finished");
}

}  // namespace

void run_training(const TrainingRequest& request) {
  keep_freed_memory();
  ExpertGroups groups;
  collectively(request.world,
               [&] { groups = configured_groups(request.config, request.world.size()); });
  TrafficClasses traffic(request.world, groups);
  ComputeChoice compute = choose_compute(request.config, *traffic.control, request.clock);
  RunConfig config = request.config;
  config.train.precision = compute.precision;
  const RunDirectory directory = agreed_run_directory(request, *traffic.control);
  std::optional<RankLog> rank_log;
  const auto record_failure = [&](ExitCode code, const std::string& reason) {
    if (rank_log) rank_log->error(reason);
    directory.write_exit_json(code, reason);
  };
  try {
    collectively(*traffic.control,
                 [&] { rank_log.emplace(directory.log_file(traffic.control->rank())); });
    rank_log->note(started_text(traffic, compute));
    TrainingRun(request, std::move(config), compute, traffic, directory, *rank_log).run();
  } catch (const AgreedError& error) {
    if (traffic.control->rank() == 0) {
      record_failure(error.exit_code(), error.what());
      directory.release();
    } else if (rank_log) {
      rank_log->error(error.what());
    }
    throw;
  } catch (const Error& error) {
    record_failure(error.exit_code(), error.what());
    throw;
  } catch (const std::exception& error) {
    record_failure(ExitCode::kInternal, describe(error));
    throw;
  }
}

}  // namespace hetmoe
