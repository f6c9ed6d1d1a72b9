#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/journal.h"

namespace hetmoe {

/// The coordinator itself, in this process: plain state behind one lock. Nothing waits in it but
/// for the journal's disk, at a join of a new generation, a command and a commit.
class RunCoordinator final : public Coordinator {
 public:
  /// Continues what the journal holds. Errors: StorageError. The clock must outlive this.
  RunCoordinator(const std::filesystem::path& journal, const Clock& clock);
  ~RunCoordinator() override;

  JoinReply join(const JoinRequest& request) override;
  HeartbeatReply heartbeat(const Heartbeat& heartbeat) override;
  void report_step(const StepReport& report) override;
  PrepareReply prepare_checkpoint(const PreparedShard& shard) override;
  void commit_checkpoint(const CommittedCheckpoint& checkpoint) override;
  AcceptedCommand command(CommandKind kind) override;
  CoordinatorStatus status() override;

 private:
  struct Seat {
    RankStatus status;
    double last_seen_seconds = 0;
    std::int64_t prepared_step = 0;  ///< 0: nothing
    std::string configuration_digest;
  };

  void begin_generation(const JoinRequest& request);
  Seat& seat_of(const Member& member);
  PrepareReply preparation_of(const PreparedShard& shard) const;

  const Clock& clock_;
  std::mutex mutex_;
  Journal journal_;
  JournalState durable_;
  double start_seconds_;
  std::vector<Seat> seats_;  ///< of the present generation, by rank; none: nobody since the start
  StepRecord last_step_;
};

}  // namespace hetmoe
