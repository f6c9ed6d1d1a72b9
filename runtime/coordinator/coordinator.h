#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "runtime/metrics/training_record.h"

namespace hetmoe {

/// What a coordinator can refuse, or fail at.
enum class CoordinatorFault : std::uint8_t {
  kUnreachable,      ///< nobody answered in time: try again later
  kUnauthenticated,  ///< token or certificate
  kInvalid,          ///< a field out of its bounds, an unknown rank or run
  kStale,            ///< another generation of the run has joined since
  kNotJoined,        ///< the coordinator does not know this rank (it was restarted): join again
};

/// Of code 5.
class CoordinatorError final : public Error {
 public:
  CoordinatorError(CoordinatorFault fault, const std::string& message)
      : Error(ExitCode::kCoordinator, message), fault_(fault) {}
  CoordinatorFault fault() const { return fault_; }

 private:
  CoordinatorFault fault_;
};

/// Who speaks.
struct Member {
  std::string run;              ///< name of the run directory
  std::int64_t generation = 0;  ///< start of the run, from 1
  int rank = 0;
};

/// A rank that comes in. `member.generation` 0: to be given.
struct JoinRequest {
  Member member;
  int ranks = 1;
  std::string host;
  std::int64_t process = 0;
  std::string metrics_address;  ///< HOST:PORT; empty: none
  bool metrics_use_tls = false;
};

struct JoinReply {
  std::int64_t generation = 0;
};

enum class CommandKind : std::uint8_t { kSave, kStop, kStopAndRequeue, kRebalance };
inline constexpr CommandKind kCommandKinds[] = {
    CommandKind::kSave, CommandKind::kStop, CommandKind::kStopAndRequeue, CommandKind::kRebalance};

/// "save", "stop", "stop_and_requeue", "rebalance".
std::string_view command_name(CommandKind kind);

/// A command that was accepted; the ranks execute it between steps, all after the same one.
struct AcceptedCommand {
  std::int64_t number = 0;  ///< from 1, over all generations of the run
  CommandKind kind = CommandKind::kSave;
  std::int64_t executed_step = 0;  ///< after which the ranks did; 0: not yet
};

/// The phase in the last sign of life of a rank whose run has ended.
inline constexpr std::string_view kEndedPhase = "ended";

/// A sign of life, and what the rank is at. Times in seconds.
struct Heartbeat {
  Member member;
  std::int64_t step = 0;                 ///< the one it computes
  std::string phase;                     ///< "training", "saving", ...
  std::int64_t collective_sequence = 0;  ///< its newest collective, over all communicators
  std::string collective;                ///< such as "all_to_all"
  double step_seconds = 0;               ///< of the last step, this rank
  double expert_flops = 0;               ///< of the last step, this rank
  double wait_seconds = 0;               ///< of the last step, this rank, for other ranks
  std::int64_t memory_bytes = 0;         ///< largest resident size so far
  std::int64_t device_memory_bytes = 0;  ///< most held of its GPU so far; 0: it has none
  std::int64_t executed_command = 0;     ///< rank 0: number of the newest one
  std::int64_t executed_step = 0;        ///< after which step that was
};

struct HeartbeatReply {
  std::vector<AcceptedCommand> commands;  ///< to rank 0: those not executed, oldest first
};

/// Rank 0: a line of metrics.jsonl (without `rank_expert_flops`: every rank tells its own), and how
/// far the run is.
struct StepReport {
  Member member;
  StepRecord record;
  RunProgress progress;
};

struct PreparedFile {
  std::string name;  ///< in the checkpoint's folder
  std::int64_t bytes = 0;
  std::string digest;  ///< "xxh3-128:" and 32 hex digits
};

/// A rank's part of a checkpoint is written and synced.
struct PreparedShard {
  Member member;
  std::int64_t step = 0;
  std::string configuration_digest;
  std::vector<PreparedFile> files;  ///< may be none
};

struct PrepareReply {
  bool agreed = false;  ///< every rank has reported this step, generation and configuration
  int prepared_ranks = 0;
};

/// Rank 0: manifest and marker of a step are written.
struct CommittedCheckpoint {
  Member member;
  std::int64_t step = 0;
  std::int64_t bytes = 0;
  double seconds = 0;       ///< from begin to commit
  double wall_seconds = 0;  ///< when; since 1970
};

/// What is known of one rank.
struct RankStatus {
  int rank = 0;
  bool joined = false;
  std::string host;
  std::int64_t process = 0;
  std::string metrics_address;
  bool metrics_use_tls = false;
  double silent_seconds = 0;  ///< since its last sign of life
  Heartbeat last;             ///< `member` is left empty

  bool takes_part() const { return joined && last.phase != kEndedPhase; }
};

/// The run as its coordinator sees it.
struct CoordinatorStatus {
  std::string run;              ///< empty: nobody has joined yet
  std::int64_t generation = 0;  ///< 0: nobody has joined yet
  int ranks = 0;
  double uptime_seconds = 0;        ///< of the coordinator
  StepRecord last_step;             ///< step 0: none
  std::vector<RankStatus> members;  ///< by rank
  std::vector<int> silent_ranks;    ///< joined, and no sign of life beyond the limit
  std::vector<int> behind_ranks;    ///< at the lowest collective, if not all are at one
  std::int64_t prepared_step = 0;   ///< being saved; 0: none
  int prepared_ranks = 0;
  CommittedCheckpoint committed;          ///< the newest; step 0: none; `member` is left empty
  std::vector<AcceptedCommand> commands;  ///< the newest ones, oldest first
};

/// Keeps track of one run: who takes part, what is done, which checkpoint all ranks have written,
/// and what people ask for. Bulk data and manifests never pass through it.
/// Any thread. Errors of all calls: CoordinatorError that names the field, the value and what is
/// allowed. An adapter over a network (coordinator_client.h) blocks up to its deadline.
class Coordinator {
 public:
  virtual ~Coordinator() = default;

  /// A generation above the run's begins a new membership and discards what was prepared; one below
  /// it is refused (kStale), as is a rank that another process of this generation holds. To join
  /// again is harmless.
  virtual JoinReply join(const JoinRequest& request) = 0;
  virtual HeartbeatReply heartbeat(const Heartbeat& heartbeat) = 0;
  virtual void report_step(const StepReport& report) = 0;
  /// To be repeated until it is agreed.
  virtual PrepareReply prepare_checkpoint(const PreparedShard& shard) = 0;
  virtual void commit_checkpoint(const CommittedCheckpoint& checkpoint) = 0;
  /// Accepted means on the journal: a restart of coordinator or run does not lose it.
  virtual AcceptedCommand command(CommandKind kind) = 0;
  virtual CoordinatorStatus status() = 0;
};

}  // namespace hetmoe
