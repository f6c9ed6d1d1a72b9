#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "runtime/metrics/rank_log.h"
#include "runtime/metrics/run_history.h"
#include "runtime/trainer/coordination.h"
#include "runtime/trainer/load_average.h"
#include "runtime/trainer/profiling.h"
#include "runtime/trainer/rebalancing.h"
#include "runtime/trainer/run_log.h"
#include "runtime/trainer/run_start.h"
#include "runtime/trainer/saving.h"
#include "runtime/trainer/training_data.h"
#include "runtime/trainer/training_parts.h"

namespace hetmoe {

/// One step after another, and between steps what is due: evaluation, a rebalance, a save, a stop.
/// Collective, all of it. Everything given must outlive this.
class TrainingLoop {
 public:
  TrainingLoop(const TrainingRequest& request, RunConfig config, const ComputeChoice& compute,
               TrafficClasses& traffic, const AgreedRun& run, ResumePoint resume,
               Coordination& coordination, MetricsExport& metrics, RankLog& rank_log);

  /// To the last step. Errors: AgreedError; of code 75 when a rank was told to stop, 93 when it was
  /// told so for good.
  void run();

 private:
  void resume(const CheckpointReader& checkpoint);
  void start_log(const ComputeChoice& compute);
  void start_profiling(const ComputeChoice& compute);
  void end_profiled_step(std::int64_t step, const StepOutcome& outcome);
  void train_one_step(std::int64_t step);
  StepOutcome run_step(std::int64_t step);
  MeasuredStep measure(std::int64_t step, const StepOutcome& outcome);
  void show_metrics(std::int64_t step, const StepOutcome& outcome, const OwnStep& own);
  void tell_commands(std::int64_t step);
  bool stops() const { return wishes_.stop || wishes_.stop_for_good; }
  StepBytes bytes_since(const StepBytes& before) const;
  void leave_if_expelled();
  void evaluate_if_due(std::int64_t step);
  void rebalance_if_due(std::int64_t step);
  void move_slices(std::int64_t step, Plan plan);
  void log_gain_of_move(std::int64_t step);
  void save_if_due(std::int64_t step);
  Manifest manifest_of(std::int64_t step) const;
  void log_save();
  void give_up_save(int slow_rank, const std::string& text) const;
  [[noreturn]] void stop(std::int64_t step);
  void finish();
  void leave_done() const;
  void advise_interval(const RunHistory& history) const;
  FinalSummary final_summary(const PeakMemory& memory, const RunHistory& history) const;
  bool is_first() const { return traffic_.control->rank() == 0; }

  const TrainingRequest& request_;
  RunConfig config_;
  TrafficClasses& traffic_;
  const RunDirectory& directory_;
  const RunLock* lock_;  ///< rank 0
  Coordination& coordination_;
  MetricsExport& metrics_;
  RankLog& rank_log_;
  bool on_gpu_;
  ResumePoint resume_;  ///< its checkpoints are closed when training begins
  RunStart start_;
  Plan plan_;
  TrainingData data_;
  TrainingParts parts_;
  Rebalancing rebalancing_;
  LoadAverage loads_;
  Saving saving_;
  std::unique_ptr<RunLog> log_;  ///< rank 0
  std::optional<Profiling> profiling_;
  double step_end_seconds_ = 0;
  StepBytes bytes_sent_;      ///< so far, this rank
  std::int64_t skipped_ = 0;  ///< since step 1
  std::int64_t skipped_in_row_ = 0;
  StepWishes wishes_;  ///< of the last step
  std::optional<SaveRecord> last_save_;
};

}  // namespace hetmoe
