#pragma once

#include "runtime/coordinator/coordinator.h"
#include "runtime/exporter/run_series.h"

namespace hetmoe {

/// A coordinator whose calls are counted and shown; it decides nothing. Both must outlive it.
class ObservedCoordinator final : public Coordinator {
 public:
  ObservedCoordinator(Coordinator& inner, RunSeries& series) : inner_(inner), series_(series) {}

  JoinReply join(const JoinRequest& request) override;
  HeartbeatReply heartbeat(const Heartbeat& heartbeat) override;
  void report_step(const StepReport& report) override;
  PrepareReply prepare_checkpoint(const PreparedShard& shard) override;
  void commit_checkpoint(const CommittedCheckpoint& checkpoint) override;
  AcceptedCommand command(CommandKind kind) override;
  CoordinatorStatus status() override;

 private:
  template <typename Call>
  auto counted(const char* name, Call call);

  Coordinator& inner_;
  RunSeries& series_;
};

}  // namespace hetmoe
