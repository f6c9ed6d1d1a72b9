#pragma once

#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/journal.h"

namespace hetmoe {

/// The coordinator itself, in this process: plain state behind one lock. Nothing waits in it but
/// for the journal's disk, at a join of a new generation, a command, its execution and a commit.
/// Where the disk fails these throw the journal's StorageError, and nothing has changed: what is
/// acknowledged is on the disk.
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
  /// A rank is behind when its newest collective is the lowest of all that have beaten, another's
  /// is higher, and it has either stood there for two beats more or is silent: ranks beat at
  /// different moments, so that numbers that still move differ without meaning.
  CoordinatorStatus status() override;

 private:
  static constexpr int kBeatsToStand = 2;
  struct Seat {
    RankStatus status;
    double last_seen_seconds = 0;
    bool has_beaten = false;
    int beats_at_collective = 0;     ///< after the first there, up to kBeatsToStand
    std::int64_t prepared_step = 0;  ///< 0: nothing
  };
  /// The checkpoint that is being saved.
  struct Preparation {
    std::int64_t step = 0;  ///< 0: none
    std::string configuration_digest;
    int first_rank = 0;
    int ranks = 0;  ///< that have reported it
  };

  std::int64_t generation_for(const JoinRequest& request) const;
  void begin_generation(std::int64_t generation, const JoinRequest& request);
  Seat& seat_of(const Member& member);
  void prepare(Seat& seat, const PreparedShard& shard);
  bool is_committed(std::int64_t step) const;
  void mark_executed(std::int64_t newest, std::int64_t step);
  std::vector<int> behind_ranks(double now) const;

  const Clock& clock_;
  std::mutex mutex_;
  Journal journal_;
  const double start_seconds_;
  std::vector<Seat> seats_;  ///< of the present generation, by rank
  Preparation preparation_;
  StepRecord last_step_;
};

}  // namespace hetmoe
