#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/clock.h"
#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

/// One rank's tie to the coordinator: a thread that joins, beats, reports and asks, so that
/// training never waits for a network. A coordinator that is away costs nothing but time to report
/// again: what was prepared, committed and executed is said until it is heard, steps are kept up
/// to a bound. A coordinator that was started again is joined again and told again.
///
/// kStale, kInvalid and kUnauthenticated are final: refusal() says why, and nothing is called any
/// more. All else that a call throws (kUnreachable, and the StorageError of a coordinator in this
/// process whose disk is full) is tried again, after 0.2 to 2 seconds.
class RankLink {
 public:
  struct Settings {
    double beat_seconds = 1;
    double away_seconds = 60;  ///< then this rank commits without the coordinator
    std::size_t kept_steps = 4096;
  };
  /// What a beat says beside what training tells.
  using Collective = std::function<std::pair<std::int64_t, std::string>()>;

  /// The coordinator must outlive this, `collective` may be called any time by the link's thread.
  /// The clock tells how long the coordinator has been away; beats follow the system's own.
  RankLink(Coordinator& coordinator, JoinRequest identity, const Clock& clock, Settings settings,
           Collective collective = {});
  /// Says what is left to say, once, and ends: at most one more call that fails, or five seconds of
  /// calls that do not.
  ~RankLink();
  RankLink(const RankLink&) = delete;
  RankLink& operator=(const RankLink&) = delete;

  /// Waits until the rank has joined or was refused, up to `seconds`. Nothing: joined; else what
  /// went wrong, of which kUnreachable is tried again for ever and all else never.
  std::optional<CoordinatorError> await_join(double seconds);

  // The training thread; none of it blocks. report, committed and executed are rank 0's; on another
  // rank they do nothing.

  /// Fields of the next beats: step, phase, times, memory.
  void progress(const Heartbeat& heartbeat);
  void report(const StepRecord& record, const RunProgress& progress = {});
  /// This rank's shard of a step is written. Replaces what was prepared before.
  void prepared(std::int64_t step, std::string configuration_digest,
                std::vector<PreparedFile> files);
  /// Whether the step prepared last may be committed: the coordinator agreed, or it has been away
  /// for `away_seconds`, since this was prepared or since it was last heard, whichever is later.
  /// False once the rank was refused.
  bool may_commit() const;
  /// The last call failed: nobody should wait for an answer now.
  bool is_away() const;
  void committed(const CommittedCheckpoint& checkpoint);
  /// Nothing came of what was prepared.
  void discard_prepared();
  /// Commands that came since the last call, each given once; rank 0.
  std::vector<AcceptedCommand> take_commands();
  void executed(const AcceptedCommand& command, std::int64_t step);
  /// Why the coordinator will not have this rank; empty: it has not said so.
  std::string refusal() const;
  /// It was refused because a later generation, or another process in its seat, has joined: this
  /// one must not go on. Any other refusal (a coordinator that lost its journal, another token)
  /// says nothing against the run.
  bool is_replaced() const;
  /// Changes of reach, to be told to people: "coordinator away ...", "... again", "... refuses".
  std::vector<std::string> take_notes();

 private:
  using Time = std::chrono::steady_clock::time_point;

  struct Outbox {
    std::deque<StepReport> steps;
    std::int64_t lost_steps = 0;
    std::optional<PreparedShard> prepared;  ///< also when agreed: said again after a new join
    bool is_new = false;                    ///< `prepared` has not been asked about yet
    std::optional<CommittedCheckpoint> committed;
    bool has_executed = false;  ///< since the last beat
  };

  void run();
  bool is_worth_a_try() const;
  bool wait_for_turn();
  bool turn(bool is_last);
  void join();
  void beat();
  void send_committed();
  void ask_about_prepared(bool is_due);
  void send_steps(Time until, bool is_last);
  void heard();
  void take_failure(const CoordinatorError& error);

  bool has_urgent_news() const;  // these three under the lock
  void note_away(const std::string& why);
  void note_again();

  Coordinator& coordinator_;
  const Clock& clock_;
  const Settings settings_;
  const Collective collective_;

  // The thread's own.
  JoinRequest identity_;
  bool is_joined_ = false;  ///< as far as the coordinator has not said otherwise
  int failures_ = 0;        ///< turns in a row
  Time next_beat_;
  Time next_ask_;  ///< rank 0: about what is prepared, which it is the one to commit

  mutable std::mutex mutex_;  ///< of all below
  std::condition_variable changed_;
  Time next_turn_;  ///< without news; while the coordinator is away, in any case
  bool ends_ = false;
  bool has_failed_at_end_ = false;
  bool is_retrying_ = false;
  bool has_joined_ = false;  ///< once
  bool agreed_ = false;      ///< on what is prepared
  bool must_ask_ = false;    ///< about it: a coordinator has not said yet that it is agreed
  std::int64_t prepared_number_ = 0;  ///< tells apart what an answer is about
  double prepared_seconds_ = 0;
  double last_heard_seconds_;
  std::optional<double> away_since_seconds_;
  std::optional<CoordinatorError> fault_;  ///< the last one
  std::string refusal_;
  bool is_replaced_ = false;
  Heartbeat beat_;
  Outbox outbox_;
  std::vector<AcceptedCommand> commands_;
  std::int64_t newest_given_ = 0;
  std::vector<std::string> notes_;

  std::thread thread_;  ///< uses all the others
};

}  // namespace hetmoe
