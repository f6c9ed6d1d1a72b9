#include "runtime/trainer/run_log.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "core/base/median.h"
#include "core/model/model_config.h"
#include "runtime/metrics/run_history.h"

namespace hetmoe {
namespace {

std::vector<std::int64_t> sum_over_layers(const std::vector<std::vector<std::int64_t>>& load) {
  std::vector<std::int64_t> sums;
  for (const auto& layer : load) {
    sums.resize(layer.size());
    std::ranges::transform(layer, sums, sums.begin(), std::plus());
  }
  return sums;
}

}  // namespace

RunLog::RunLog(const RunConfig& config, const RunDirectory& directory, const Clock& clock,
               Output out, RunStart start)
    : config_(config),
      clock_(clock),
      start_(std::move(start)),
      start_seconds_(clock.monotonic_seconds()),
      metrics_(directory.metrics_file()),
      events_(directory.events_file(), clock, /*rank=*/0, start_.generation),
      console_(out.stream, clock, {.terminal = out.terminal}),
      skipped_(start_.skipped_steps) {
  progress_.planned_steps = config.train.steps;
  progress_.checkpoint_every_steps = config.checkpoint.every_steps;
  progress_.peak_flops_per_second = config.metrics.peak_flops;
  progress_.expert_widths = expert_widths(config.model.experts);
  if (start_.generation == 1) return;
  const RunHistory earlier =
      read_run_history(directory, clock.wall_seconds(), /*newest_step=*/start_.step - 1);
  earlier_seconds_ = earlier.wall_seconds;
  progress_.productive_seconds = earlier.productive_seconds;
}

void RunLog::started(const RunSummary& summary) {
  progress_.peak_flops_per_second *= summary.ranks;
  console_.header(summary);
  events_.write(Event::kStarted, start_.step - 1,
                {{"ranks", static_cast<std::int64_t>(summary.ranks)},
                 {"precision", summary.precision},
                 {"threads", static_cast<std::int64_t>(summary.cores.most_threads)},
                 {"bytes_gradients", summary.gradient_bytes},
                 {"bytes_parameters", summary.parameter_bytes},
                 {"checkpoint", start_.checkpoint},
                 {"weights", start_.weights},
                 {"taken_over", start_.taken_over}});
}

StepRecord RunLog::step(std::int64_t step, const StepOutcome& outcome,
                        const MeasuredStep& measured) {
  const TrainConfig& train = config_.train;
  const auto tokens = static_cast<double>(train.global_batch * train.sequence_length);
  if (outcome.skipped) {
    ++skipped_;
    events_.write(Event::kSkippedStep, step,
                  {{"loss", outcome.loss}, {"grad_norm", outcome.grad_norm}});
    console_.warning("step " + std::to_string(step) +
                     " skipped: the loss, the gradient norm or a router logit is not finite");
  }
  StepRecord record;
  record.step = step;
  record.tokens = step * train.global_batch * train.sequence_length;
  record.loss = outcome.loss;
  record.parameter_penalty = outcome.parameter_penalty;
  record.load_balance = outcome.load_balance;
  record.router_entropy = outcome.router_entropy;
  record.grad_norm = outcome.grad_norm;
  record.learning_rate = outcome.learning_rate;
  record.skipped = skipped_;
  record.step_seconds = measured.step_seconds;
  record.tokens_per_second = tokens / measured.step_seconds;
  record.model_flops_per_second = model_flops(config_, outcome.load) / measured.step_seconds;
  record.phase_seconds = measured.phases;
  record.flops_max_over_mean = outcome.flops_max_over_mean;
  record.bytes = measured.bytes;
  record.layer_flops_max_over_mean = outcome.layer_flops_max_over_mean;
  record.expert_tokens = sum_over_layers(outcome.load);
  record.rank_expert_flops = measured.rank_expert_flops;
  record.memory_bytes = measured.memory.host_bytes;
  record.device_memory_bytes = measured.memory.device_bytes;
  record.generation = start_.generation;
  progress_.productive_seconds += record.step_seconds;
  progress_.elapsed_seconds = earlier_seconds_ + clock_.monotonic_seconds() - start_seconds_;
  metrics_.write(record);
  console_.step(record);
  tokens_per_second_.push_back(record.tokens_per_second);
  balance_sum_ += record.flops_max_over_mean;
  tokens_of_expert_.resize(record.expert_tokens.size());
  for (std::size_t i = 0; i < record.expert_tokens.size(); ++i) {
    tokens_of_expert_[i] += static_cast<double>(record.expert_tokens[i]);
  }
  return record;
}

void RunLog::evaluation(EvaluationRecord record) {
  record.generation = start_.generation;
  metrics_.write(record);
  console_.evaluation(record);
  last_evaluation_ = record;
}

void RunLog::rebalance(std::int64_t step, const RebalanceRecord& record) {
  ++progress_.rebalances;
  events_.write(Event::kRebalance, step,
                {{"stage", "moved"},
                 {"predicted_gain_seconds", record.predicted_gain_seconds},
                 {"predicted_moving_seconds", record.predicted_moving_seconds},
                 {"planning_seconds", record.planning_seconds},
                 {"moving_seconds", record.moving_seconds},
                 {"moving_bytes", record.moving_bytes},
                 {"flops_max_over_mean_before", record.flops_max_over_mean_before},
                 {"flops_max_over_mean_after", record.flops_max_over_mean_after}});
  console_.rebalance(step, record);
}

void RunLog::rebalance_gain(std::int64_t step, const RebalanceGain& gain) {
  progress_.predicted_gain_seconds = gain.predicted_gain_seconds;
  progress_.measured_gain_seconds = gain.measured_gain_seconds;
  events_.write(Event::kRebalance, step,
                {{"stage", "measured"},
                 {"moved_after_step", gain.moved_after_step},
                 {"measured_steps", gain.measured_steps},
                 {"predicted_gain_seconds", gain.predicted_gain_seconds},
                 {"measured_gain_seconds", gain.measured_gain_seconds}});
}

void RunLog::save_begun(std::int64_t step) { events_.write(Event::kSaveBegun, step); }

void RunLog::save_slow(const SlowSave& slow) {
  const std::string folder = slow.folder.string();
  events_.write(Event::kSaveSlow, slow.step,
                {{"folder", folder},
                 {"seconds", slow.seconds},
                 {"slow_rank", static_cast<std::int64_t>(slow.rank)},
                 {"blocks", slow.blocks}});
  console_.warning("the save of step " + std::to_string(slow.step) + " into '" + folder +
                   "' has taken " + std::to_string(std::llround(slow.seconds)) + " s: rank " +
                   std::to_string(slow.rank) + " has not finished its part; training " +
                   (slow.blocks ? "waits" : "goes on"));
}

void RunLog::saved(const SaveRecord& record) {
  progress_.save_blocked_seconds += record.blocked_seconds;
  progress_.failed_saves += record.committed ? 0 : 1;
  if (record.committed) {
    events_.write(Event::kSaveCommitted, record.step,
                  {{"bytes", record.bytes},
                   {"blocked_seconds", record.blocked_seconds},
                   {"seconds", record.seconds}});
    console_.saved(record);
  } else {
    events_.write(Event::kSaveFailed, record.step, {{"reason", record.failure}});
    console_.warning("step " + std::to_string(record.step) + " is not saved: " + record.failure);
  }
  for (const std::string& warning : record.warnings) console_.warning(warning);
}

void RunLog::command(std::int64_t step, std::string_view name, std::int64_t number) {
  events_.write(Event::kCommand, step, {{"command", std::string(name)}, {"number", number}});
  console_.note("command " + std::to_string(number) + ": " + std::string(name) + ", after step " +
                std::to_string(step));
}

void RunLog::stopped(std::int64_t step, const std::string& reason) {
  events_.write(Event::kStopped, step, {{"reason", reason}});
}

void RunLog::finished(FinalSummary summary) {
  summary.steps = config_.train.steps;
  summary.tokens = config_.train.steps * config_.train.global_batch * config_.train.sequence_length;
  summary.elapsed_seconds = clock_.monotonic_seconds() - start_seconds_;
  summary.vocab_size = config_.model.vocab_size;
  summary.skipped_steps = skipped_;
  if (last_evaluation_) {
    summary.evaluation_loss = last_evaluation_->loss;
    if (last_evaluation_->bits_per_byte > 0) {
      summary.bits_per_byte = last_evaluation_->bits_per_byte;
    }
  }
  if (!tokens_per_second_.empty()) {
    summary.median_tokens_per_second = median(tokens_per_second_);
    summary.mean_flops_max_over_mean =
        balance_sum_ / static_cast<double>(tokens_per_second_.size());
  }
  const auto widths = expert_widths(config_.model.experts);
  const double all = std::reduce(tokens_of_expert_.begin(), tokens_of_expert_.end());
  for (std::size_t i = 0; i < tokens_of_expert_.size() && all > 0; ++i) {
    summary.experts.push_back({.width = widths[i], .token_ratio = tokens_of_expert_[i] / all});
  }
  events_.write(Event::kFinished, summary.steps,
                {{"skipped", summary.skipped_steps},
                 {"tokens_per_second", summary.median_tokens_per_second}});
  console_.finish(summary);
}

}  // namespace hetmoe
