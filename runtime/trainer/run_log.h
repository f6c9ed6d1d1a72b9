#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/clock.h"
#include "runtime/metrics/events_file.h"
#include "runtime/metrics/metrics_file.h"
#include "runtime/metrics/run_directory.h"
#include "runtime/report/console.h"
#include "runtime/trainer/measured_step.h"
#include "runtime/trainer/saving_patience.h"

namespace hetmoe {

/// Where rank 0 tells people.
struct Output {
  std::FILE* stream = nullptr;
  bool terminal = false;  ///< show a live line
};

/// Where a run begins: at step 1, or where a checkpoint left it.
struct RunStart {
  int generation = 1;
  std::int64_t step = 1;           ///< the first one to be trained
  std::int64_t skipped_steps = 0;  ///< before it
  std::string checkpoint;          ///< gone on from; empty: none
  std::string weights;             ///< the checkpoint they were taken from; empty: none
  std::string taken_over;          ///< whose lock, and why; empty: the folder was free
};

/// Rank 0's record of a run: metrics, events, what people see, and the sums that the closing table
/// needs.
class RunLog {
 public:
  RunLog(const RunConfig& config, const RunDirectory& directory, const Clock& clock, Output out,
         RunStart start);

  /// As of the newest step.
  const RunProgress& progress() const { return progress_; }

  void started(const RunSummary& summary);
  /// Gives the line as it stands in metrics.jsonl.
  StepRecord step(std::int64_t step, const StepOutcome& outcome, const MeasuredStep& measured);
  void evaluation(EvaluationRecord record);
  void rebalance(std::int64_t step, const RebalanceRecord& record);
  void rebalance_gain(std::int64_t step, const RebalanceGain& gain);
  /// By the plan in force: Rebalancing::predicted_expert_seconds.
  void predicted(double expert_seconds) { progress_.predicted_expert_seconds = expert_seconds; }
  void save_begun(std::int64_t step);
  void save_slow(const SlowSave& slow);
  void saved(const SaveRecord& record);
  void command(std::int64_t step, std::string_view name, std::int64_t number);
  void stopped(std::int64_t step, const std::string& reason);
  void profile(const std::string& table) { console_.block(table); }
  void note(const std::string& text) { console_.note(text); }
  void warning(const std::string& text) { console_.warning(text); }

  /// Completes the summary with what this log has counted, writes and shows it.
  void finished(FinalSummary summary);

 private:
  const RunConfig& config_;
  const Clock& clock_;
  RunStart start_;
  double start_seconds_;
  double earlier_seconds_ = 0;  ///< from the run's first start to this one
  RunProgress progress_;
  MetricsFile metrics_;
  EventsFile events_;
  Console console_;
  std::int64_t skipped_ = 0;
  std::vector<double> tokens_per_second_;
  double balance_sum_ = 0;
  std::vector<double> tokens_of_expert_;
  std::optional<EvaluationRecord> last_evaluation_;
};

}  // namespace hetmoe
