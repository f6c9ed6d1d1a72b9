#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/base/clock.h"
#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

/// One rank's tie to the coordinator: a thread that joins, beats, reports and asks, so that
/// training never waits for a network. A coordinator that is away costs nothing but time to report
/// again: what was prepared, committed and executed is said until it is heard, steps are kept up
/// to a bound.
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
  RankLink(Coordinator& coordinator, JoinRequest identity, const Clock& clock, Settings settings,
           Collective collective = {});
  /// Says what is left to say, once, and ends.
  ~RankLink();
  RankLink(const RankLink&) = delete;
  RankLink& operator=(const RankLink&) = delete;

  /// Waits for the first answer to the join, up to `seconds`. Nothing: joined; else what went
  /// wrong, of which kUnreachable is tried again for ever and all else never.
  std::optional<CoordinatorError> await_join(double seconds);

  // The training thread; none of it blocks.

  /// Fields of the next beats: step, phase, times, memory.
  void progress(const Heartbeat& heartbeat);
  void report(const StepRecord& record);
  /// This rank's shard of a step is written.
  void prepared(std::int64_t step, std::string configuration_digest,
                std::vector<PreparedFile> files);
  /// Whether the step prepared last may be committed: the coordinator agreed, or it has been away
  /// for `away_seconds`.
  bool may_commit() const;
  void committed(const CommittedCheckpoint& checkpoint);
  /// Nothing came of what was prepared.
  void discard_prepared();
  /// Commands that came since the last call, each given once; rank 0.
  std::vector<AcceptedCommand> take_commands();
  void executed(const AcceptedCommand& command, std::int64_t step);
  /// Why this rank no longer belongs to the run; empty: it does.
  std::string refusal() const;
  /// Changes of reach, to be told to people: "coordinator ... does not answer", "... again".
  std::vector<std::string> take_notes();

 private:
  struct Outbox {
    std::deque<StepRecord> steps;
    std::int64_t lost_steps = 0;
    std::optional<PreparedShard> prepared;
    std::optional<CommittedCheckpoint> committed;
  };

  void run();
  void turn();
  void call(const std::function<void()>& work);
  void send_steps();
  void send_prepared();
  void send_committed();
  void beat();

  Coordinator& coordinator_;
  JoinRequest identity_;
  const Clock& clock_;
  const Settings settings_;
  Collective collective_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;
  bool has_news_ = false;  ///< something that should not wait for the next beat
  bool answered_ = false;  ///< the first join has come to something
  bool joined_ = false;
  bool agreed_ = false;
  double last_heard_seconds_;
  std::optional<CoordinatorError> fault_;  ///< of the last call
  std::string refusal_;
  Heartbeat beat_;
  Outbox outbox_;
  std::vector<AcceptedCommand> commands_;
  std::int64_t newest_taken_ = 0;
  std::vector<std::string> notes_;
  std::thread thread_;
};

}  // namespace hetmoe
