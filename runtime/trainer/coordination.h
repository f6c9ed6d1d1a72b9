#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/communicator/collective_log.h"
#include "parallel/communicator/communicator.h"
#include "runtime/coordinator/rank_link.h"
#include "runtime/metrics/run_directory.h"
#include "runtime/run_config.h"
#include "runtime/trainer/coordinator_access.h"
#include "runtime/trainer/measured_step.h"
#include "runtime/trainer/metrics_export.h"
#include "runtime/trainer/process_memory.h"
#include "runtime/trainer/save_witness.h"

namespace hetmoe {

/// All of it must outlive the coordination.
struct CoordinatedRun {
  const RunConfig& config;
  const RunDirectory& directory;
  const CollectiveLog& collectives;
  const Clock& clock;
  Communicator& control;
  int generation = 1;
  bool taken_over = false;           ///< rank 0: the folder was another's
  MetricsExport* metrics = nullptr;  ///< where it shows the run's series; null: nowhere
};

/// What training says to the run's coordinator and hears from it, between steps and without ever
/// waiting: another thread does the talking. With coordinator.listen none it does nothing.
class Coordination final : public SaveWitness {
 public:
  /// Opens the coordinator and joins it. One that does not answer within ten seconds is told about
  /// and tried again while training goes on. Collective. Blocking.
  /// Errors: AgreedError of code 5 when it cannot listen, or refuses this run.
  explicit Coordination(const CoordinatedRun& run);
  ~Coordination() override;
  Coordination(const Coordination&) = delete;
  Coordination& operator=(const Coordination&) = delete;

  // The training thread; no call blocks.

  /// The coordinator is this rank's own, and its series are served with the rank's.
  bool serves_run_metrics() const { return !pages_.empty(); }
  /// It does not answer, for now.
  bool is_away() const { return !link_ || link_->is_away(); }

  /// What this rank does now.
  void enter(std::int64_t step, std::string_view phase);
  /// Figures of the step that has ended; `step_seconds` are this rank's.
  void step_ended(const StepOutcome& outcome, double step_seconds, const PeakMemory& memory);
  /// Rank 0: the step as it stands in metrics.jsonl.
  void report(const StepRecord& record, const RunProgress& progress = {});
  /// What people have asked for; commands stand open until `executed`.
  StepWishes wishes();
  /// The ranks have done, after this step, what the last wishes asked for: which commands those
  /// were (rank 0).
  std::vector<AcceptedCommand> executed(std::int64_t step);
  /// What people should know of the coordinator's reach.
  std::vector<std::string> take_notes();

  void prepared(std::int64_t step, const CheckpointFile& file) override;
  Answer answer() const override;
  std::string refusal() const override;
  void concluded(const SaveRecord& record) override;

 private:
  void serve_metrics();
  void end();

  const CoordinatedRun run_;
  std::string configuration_digest_;
  CoordinatorAccess access_;
  std::unique_ptr<RankLink> link_;  ///< null: no coordinator
  Heartbeat beat_;
  std::vector<AcceptedCommand> open_commands_;
  std::vector<MetricsServer::Served> pages_;  ///< last: they show what is above
};

}  // namespace hetmoe
