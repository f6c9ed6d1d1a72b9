#include "runtime/exporter/run_series.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>

#include "runtime/exporter/exposition.h"

namespace hetmoe {

using namespace exposition;

namespace {

constexpr std::size_t kMostShown = 1024;

using GaugeOf = std::pair<prometheus::Gauge*, double StepRecord::*>;

/// One series per index, made when first needed.
template <typename Family, typename Metric>
Metric& at(Family& family, std::vector<Metric*>& made, const char* label, std::size_t index) {
  while (made.size() <= index) {
    made.push_back(&family.Add({{label, std::to_string(made.size())}}));
  }
  return *made[index];
}

}  // namespace

struct RunSeries::Families {
  explicit Families(const Clock& wall_clock) : clock(wall_clock) {
    for (const Phase& phase : kPhases) {
      seconds_of_phase.push_back(&phase_seconds.Add({{"phase", phase.name}}, duration_buckets()));
    }
    for (const Direction& direction : kDirections) {
      bytes_of_direction.push_back(&all_to_all.Add({{"direction", direction.name}}));
    }
    for (const CommandKind kind : kCommandKinds) {
      commands.Add({{"command", std::string(command_name(kind))}});
    }
  }

  void begin(const StepReport& report);
  void count(const StepRecord& record);
  void show(const StepRecord& record);
  void show(const RunProgress& progress);

  const Clock& clock;
  std::mutex mutex;  ///< of what follows a step; the series themselves are atomic
  std::int64_t generation_counted = 0;
  std::int64_t step_counted = 0;
  std::int64_t skipped_counted = 0;
  std::int64_t rebalances_counted = 0;
  std::int64_t failed_saves_counted = 0;
  double blocked_counted = 0;
  std::pair<std::int64_t, std::int64_t> commit_counted;  ///< generation and step
  prometheus::Registry registry;

  Gauges& run_info = gauges(registry, "hetmoe_run_info", "1; the run's name as a label.");
  std::string run_shown;
  prometheus::Gauge& generation =
      gauge(registry, "hetmoe_generation", "Starts of the run, this one included.");
  prometheus::Gauge& step = gauge(registry, "hetmoe_step", "Newest step.");
  prometheus::Gauge& planned_steps =
      gauge(registry, "hetmoe_planned_steps", "Step at which the run is over.");
  prometheus::Counter& steps =
      counter(registry, "hetmoe_steps_total", "Steps since the coordinator started.");
  prometheus::Counter& tokens =
      counter(registry, "hetmoe_tokens_total", "Tokens since the coordinator started, all ranks.");
  prometheus::Gauge& trained_tokens =
      gauge(registry, "hetmoe_trained_tokens", "Tokens that the model has seen, all starts.");
  prometheus::Gauge& loss =
      gauge(registry, "hetmoe_loss", "Language modelling loss of the newest step, nats per token.");
  Gauges& auxiliary =
      gauges(registry, "hetmoe_auxiliary_loss",
             "Auxiliary losses of the newest step, unweighted, summed over layers.");
  std::vector<GaugeOf> auxiliary_losses = {
      {&auxiliary.Add({{"kind", "parameter_penalty"}}), &StepRecord::parameter_penalty},
      {&auxiliary.Add({{"kind", "load_balance"}}), &StepRecord::load_balance},
      {&auxiliary.Add({{"kind", "router_entropy"}}), &StepRecord::router_entropy}};
  prometheus::Gauge& gradient_norm =
      gauge(registry, "hetmoe_gradient_norm", "Of the newest step, before clipping.");
  prometheus::Gauge& learning_rate = gauge(registry, "hetmoe_learning_rate", "Of the newest step.");
  prometheus::Counter& skipped = counter(registry, "hetmoe_skipped_steps_total",
                                         "Steps left out because a number was not finite.");
  prometheus::Histogram& step_seconds =
      histograms(registry, "hetmoe_step_duration_seconds", "Time of a step, the slowest rank.")
          .Add({}, duration_buckets());
  Histograms& phase_seconds = histograms(registry, "hetmoe_phase_duration_seconds",
                                         "Time of a step by phase, mean over ranks.");
  std::vector<prometheus::Histogram*> seconds_of_phase;
  prometheus::Gauge& last_step =
      gauge(registry, "hetmoe_last_step_timestamp_seconds", "When the newest step was reported.");
  prometheus::Counter& model_flops =
      counter(registry, "hetmoe_model_flops_total",
              "Floating-point operations of the model, three times the forward products.");
  prometheus::Gauge& peak_flops =
      gauge(registry, "hetmoe_peak_flops_per_second",
            "metrics.peak_flops of all ranks; 0 where it is not configured.");

  Counters& expert_tokens = counters(registry, "hetmoe_expert_tokens_total",
                                     "Tokens that selected the expert, all layers and ranks.");
  std::vector<prometheus::Counter*> tokens_of_expert;
  Gauges& expert_width = gauges(registry, "hetmoe_expert_width", "Hidden units of the expert.");
  std::vector<prometheus::Gauge*> width_of_expert;
  Gauges& layer_balance =
      gauges(registry, "hetmoe_flops_max_over_mean_ratio",
             "Expert operations of the busiest rank over the mean of ranks, newest step.");
  std::vector<prometheus::Gauge*> balance_of_layer;
  prometheus::Gauge& balance =
      gauge(registry, "hetmoe_step_flops_max_over_mean_ratio",
            "The same over all layers: sum of the largest over sum of the means.");
  Counters& all_to_all = counters(registry, "hetmoe_all_to_all_bytes_total",
                                  "Bytes of tokens sent between ranks, towards experts and back.");
  std::vector<prometheus::Counter*> bytes_of_direction;
  prometheus::Counter& other_node_bytes =
      counter(registry, "hetmoe_other_node_bytes_total",
              "Bytes of tokens sent to ranks of other nodes, towards experts and back.");
  prometheus::Counter& gradient_bytes =
      counter(registry, "hetmoe_gradient_bytes_total",
              "Bytes of gradients sent to the owners of parameters.");
  prometheus::Counter& parameter_bytes =
      counter(registry, "hetmoe_parameter_bytes_total",
              "Bytes of updated parameters sent by their owners.");
  prometheus::Counter& hidden_parameter_bytes =
      counter(registry, "hetmoe_parameter_hidden_bytes_total",
              "Bytes of updated parameters that were there before anybody waited for them.");
  prometheus::Gauge& predicted_expert_seconds =
      gauge(registry, "hetmoe_plan_predicted_expert_seconds",
            "Seconds of a step for experts and their exchange, by the plan; 0: no cluster file.");
  prometheus::Counter& rebalances =
      counter(registry, "hetmoe_rebalances_total", "Times that slices moved between ranks.");
  prometheus::Gauge& predicted_gain =
      gauge(registry, "hetmoe_rebalance_predicted_gain_seconds",
            "Seconds per step that the newest measured move was to bring.");
  prometheus::Gauge& measured_gain =
      gauge(registry, "hetmoe_rebalance_measured_gain_seconds",
            "Seconds per step that the newest measured move has brought.");

  prometheus::Counter& commits =
      counter(registry, "hetmoe_checkpoint_commits_total", "Checkpoints committed.");
  prometheus::Counter& failed_saves =
      counter(registry, "hetmoe_checkpoint_failures_total", "Saves that came to nothing.");
  prometheus::Counter& blocked_seconds =
      counter(registry, "hetmoe_checkpoint_blocked_seconds_total",
              "Seconds that training waited for saves.");
  prometheus::Gauge& commit_timestamp =
      gauge(registry, "hetmoe_checkpoint_last_success_timestamp_seconds",
            "When the newest checkpoint was committed; 0: none yet.");
  prometheus::Gauge& commit_step = gauge(registry, "hetmoe_checkpoint_last_success_step",
                                         "Step of the newest checkpoint; 0: none yet.");
  prometheus::Gauge& commit_bytes =
      gauge(registry, "hetmoe_checkpoint_size_bytes", "Size of the newest checkpoint.");
  prometheus::Gauge& commit_seconds = gauge(registry, "hetmoe_checkpoint_duration_seconds",
                                            "From the begin of the newest save to its commit.");
  prometheus::Gauge& save_every = gauge(registry, "hetmoe_checkpoint_interval_steps",
                                        "checkpoint.every_steps; 0: saved on demand only.");
  prometheus::Gauge& productive_seconds =
      gauge(registry, "hetmoe_productive_seconds", "Of all steps that count, all starts.");
  prometheus::Gauge& elapsed_seconds =
      gauge(registry, "hetmoe_elapsed_seconds", "Since the first start of the run.");
  prometheus::Gauge& effective_ratio =
      gauge(registry, "hetmoe_effective_training_time_ratio", "Productive over elapsed seconds.");

  prometheus::Gauge& ranks = gauge(registry, "hetmoe_ranks", "Ranks of the run.");
  prometheus::Gauge& ranks_joined = gauge(
      registry, "hetmoe_ranks_joined", "Ranks that the coordinator knows and that have not ended.");
  prometheus::Gauge& ranks_silent =
      gauge(registry, "hetmoe_ranks_silent", "Ranks without a sign of life for 15 s.");
  prometheus::Gauge& ranks_behind = gauge(registry, "hetmoe_ranks_behind",
                                          "Ranks that stand at an earlier collective than others.");
  Counters& commands =
      counters(registry, "hetmoe_commands_total", "Commands of people that were accepted.");
  Counters& calls =
      counters(registry, "hetmoe_coordinator_calls_total", "Calls to the coordinator by result.");
};

/// The first report of a start: what came before it is not counted here.
void RunSeries::Families::begin(const StepReport& report) {
  generation_counted = report.member.generation;
  skipped_counted = report.record.skipped;
  rebalances_counted = report.progress.rebalances;
  failed_saves_counted = report.progress.failed_saves;
  blocked_counted = report.progress.save_blocked_seconds;
}

void RunSeries::Families::count(const StepRecord& record) {
  steps.Increment();
  const auto tokens_of_step = static_cast<double>(record.tokens) / static_cast<double>(record.step);
  exposition::add(tokens, tokens_of_step);
  exposition::add(skipped, static_cast<double>(record.skipped - skipped_counted));
  skipped_counted = record.skipped;
  step_seconds.Observe(record.step_seconds);
  for (std::size_t i = 0; i < std::size(kPhases); ++i) {
    seconds_of_phase[i]->Observe(std::max(0.0, record.phase_seconds.*kPhases[i].seconds));
  }
  exposition::add(model_flops, record.model_flops_per_second * record.step_seconds);
  for (std::size_t i = 0; i < std::size(kDirections); ++i) {
    exposition::add(*bytes_of_direction[i],
                    static_cast<double>(record.bytes.*kDirections[i].bytes));
  }
  exposition::add(other_node_bytes, static_cast<double>(record.bytes.other_node));
  exposition::add(gradient_bytes, static_cast<double>(record.bytes.gradients));
  exposition::add(parameter_bytes, static_cast<double>(record.bytes.parameters));
  exposition::add(hidden_parameter_bytes, static_cast<double>(record.bytes.parameters_hidden));
  if (record.expert_tokens.size() > kMostShown) return;
  for (std::size_t i = 0; i < record.expert_tokens.size(); ++i) {
    exposition::add(at(expert_tokens, tokens_of_expert, "expert", i),
                    static_cast<double>(record.expert_tokens[i]));
  }
}

void RunSeries::Families::show(const StepRecord& record) {
  generation.Set(record.generation);
  step.Set(static_cast<double>(record.step));
  trained_tokens.Set(static_cast<double>(record.tokens));
  loss.Set(record.loss);
  for (const auto& [series, value] : auxiliary_losses) series->Set(record.*value);
  gradient_norm.Set(record.grad_norm);
  learning_rate.Set(record.learning_rate);
  last_step.Set(clock.wall_seconds());
  balance.Set(record.flops_max_over_mean);
  const std::vector<double>& layers = record.layer_flops_max_over_mean;
  for (std::size_t i = 0; i < layers.size() && layers.size() <= kMostShown; ++i) {
    at(layer_balance, balance_of_layer, "layer", i).Set(layers[i]);
  }
}

void RunSeries::Families::show(const RunProgress& progress) {
  planned_steps.Set(static_cast<double>(progress.planned_steps));
  peak_flops.Set(progress.peak_flops_per_second);
  save_every.Set(static_cast<double>(progress.checkpoint_every_steps));
  productive_seconds.Set(progress.productive_seconds);
  elapsed_seconds.Set(progress.elapsed_seconds);
  if (progress.elapsed_seconds > 0) {
    effective_ratio.Set(std::min(1.0, progress.productive_seconds / progress.elapsed_seconds));
  }
  exposition::add(rebalances, static_cast<double>(progress.rebalances - rebalances_counted));
  rebalances_counted = progress.rebalances;
  exposition::add(failed_saves, static_cast<double>(progress.failed_saves - failed_saves_counted));
  failed_saves_counted = progress.failed_saves;
  exposition::add(blocked_seconds, progress.save_blocked_seconds - blocked_counted);
  blocked_counted = progress.save_blocked_seconds;
  predicted_gain.Set(progress.predicted_gain_seconds);
  measured_gain.Set(progress.measured_gain_seconds);
  predicted_expert_seconds.Set(progress.predicted_expert_seconds);
  const std::vector<std::int64_t>& widths = progress.expert_widths;
  for (std::size_t i = 0; i < widths.size() && widths.size() <= kMostShown; ++i) {
    at(expert_width, width_of_expert, "expert", i).Set(static_cast<double>(widths[i]));
  }
}

RunSeries::RunSeries(const Clock& clock) : families_(std::make_unique<Families>(clock)) {}
RunSeries::~RunSeries() = default;

void RunSeries::report(const StepReport& report) {
  Families& to = *families_;
  const StepRecord& record = report.record;
  const std::int64_t generation = report.member.generation;
  const std::scoped_lock guard(to.mutex);
  const bool is_known = generation < to.generation_counted ||
                        (generation == to.generation_counted && record.step <= to.step_counted);
  if (is_known) return;
  if (generation > to.generation_counted) to.begin(report);
  to.count(record);
  to.step_counted = record.step;
  to.show(record);
  to.show(report.progress);
}

void RunSeries::committed(const CommittedCheckpoint& checkpoint) {
  Families& to = *families_;
  const std::scoped_lock guard(to.mutex);
  // A later start may commit a step again that an earlier one had.
  const std::pair commit(checkpoint.member.generation, checkpoint.step);
  if (commit == to.commit_counted) return;
  to.commit_counted = commit;
  to.commits.Increment();
  to.commit_timestamp.Set(checkpoint.wall_seconds);
  to.commit_step.Set(static_cast<double>(checkpoint.step));
  to.commit_bytes.Set(static_cast<double>(checkpoint.bytes));
  to.commit_seconds.Set(checkpoint.seconds);
}

void RunSeries::commanded(CommandKind kind) {
  families_->commands.Add({{"command", std::string(command_name(kind))}}).Increment();
}

void RunSeries::called(std::string_view call, std::string_view result) {
  families_->calls.Add({{"call", std::string(call)}, {"result", std::string(result)}}).Increment();
}

void RunSeries::describe(const CoordinatorStatus& status) {
  Families& to = *families_;
  const std::scoped_lock guard(to.mutex);
  if (!status.run.empty() && status.run != to.run_shown) {
    if (!to.run_shown.empty()) to.run_info.Remove(&to.run_info.Add({{"name", to.run_shown}}));
    to.run_info.Add({{"name", status.run}}).Set(1);
    to.run_shown = status.run;
  }
  to.ranks.Set(status.ranks);
  to.ranks_joined.Set(static_cast<double>(std::ranges::count_if(
      status.members, [](const RankStatus& one) { return one.takes_part(); })));
  to.ranks_silent.Set(static_cast<double>(status.silent_ranks.size()));
  to.ranks_behind.Set(static_cast<double>(status.behind_ranks.size()));
  // What was committed before this process started.
  if (to.commit_counted.second == 0 && status.committed.step > 0) {
    to.commit_timestamp.Set(status.committed.wall_seconds);
    to.commit_step.Set(static_cast<double>(status.committed.step));
    to.commit_bytes.Set(static_cast<double>(status.committed.bytes));
    to.commit_seconds.Set(status.committed.seconds);
  }
}

/// Not in the middle of a step: its figures belong together.
std::string RunSeries::text() const {
  const std::scoped_lock guard(families_->mutex);
  return text_of(families_->registry);
}

}  // namespace hetmoe
