#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/base/clock.h"

namespace hetmoe {

/// One collective as its rank saw it. Times are of the log's monotonic clock.
struct CollectiveRecord {
  static constexpr double kNever = -1;

  std::int64_t number = 0;        ///< of this rank, over all its communicators, from 1
  std::int64_t sequence = 0;      ///< of its communicator, from 1: the same on every member
  std::int64_t communicator = 0;  ///< index in CollectiveLog::communicators()
  const char* operation = "";     ///< such as "all_reduce"; of static storage
  std::int64_t bytes = 0;         ///< what this rank gave: its send buffer, or the one in place
  std::int64_t step = 0;          ///< 0: before the first
  double started_seconds = 0;
  double wait_began_seconds = kNever;  ///< kNever: nobody has waited for it
  double ended_seconds = kNever;       ///< kNever: not finished
};

/// A record that one thread writes while others read it, without a lock: a reader that met a change
/// reads again (a sequence lock whose fields are atomic, so that no fence is needed).
class SharedRecord {
 public:
  void write(const CollectiveRecord& record);
  /// Of the record that is there; one store each.
  void set_wait_began(double seconds) { wait_began_.store(seconds, std::memory_order_release); }
  void set_ended(double seconds) { ended_.store(seconds, std::memory_order_release); }
  /// Nothing: never written, or written all the time.
  std::optional<CollectiveRecord> read() const;

 private:
  std::atomic<std::uint64_t> version_ = 0;  ///< odd: being written
  std::atomic<std::int64_t> number_ = 0;
  std::atomic<std::int64_t> sequence_ = 0;
  std::atomic<std::int64_t> communicator_ = 0;
  std::atomic<const char*> operation_ = "";
  std::atomic<std::int64_t> bytes_ = 0;
  std::atomic<std::int64_t> step_ = 0;
  std::atomic<double> started_ = 0;
  std::atomic<double> wait_began_ = CollectiveRecord::kNever;
  std::atomic<double> ended_ = CollectiveRecord::kNever;
};

/// The last collectives of one rank, and the one that it is waiting for. Written by the thread that
/// communicates (one at a time), read by any: a watchdog looks on. Writing takes no lock, allocates
/// nothing and costs a few stores and a look at the clock.
class CollectiveLog {
 public:
  static constexpr std::size_t kRecords = 256;

  /// A communicator whose collectives are recorded here.
  struct Channel {
    std::string name;  ///< equal on its members, other than all of this rank's others
    int size = 1;
    std::int64_t index = 0;
    std::atomic<std::int64_t> started = 0;  ///< collectives so far
  };

  /// What a reader gets of a channel.
  struct CommunicatorState {
    std::string name;
    int size = 1;
    std::int64_t started = 0;
  };

  /// The clock must outlive the log.
  explicit CollectiveLog(const Clock& clock) : clock_(clock) {}

  /// Lives as long as the log. Any thread; takes a lock.
  Channel& add_communicator(std::string name, int size);

  // The thread that communicates.

  /// Says that the collectives from here on belong to this step.
  void begin_step(std::int64_t step);
  CollectiveRecord start(Channel& channel, const char* operation, std::int64_t bytes);
  /// This thread does nothing but wait for it until `end`.
  void begin_wait(CollectiveRecord& record);
  /// It has finished, or failed. Ends the wait, if there was one.
  void end(CollectiveRecord& record);

  // Any thread.

  /// What the rank waits for right now.
  std::optional<CollectiveRecord> open_wait() const;
  /// The newest ones, at most kRecords, oldest first.
  std::vector<CollectiveRecord> records() const;
  std::vector<CommunicatorState> communicators() const;
  std::int64_t step() const { return step_.load(std::memory_order_relaxed); }
  std::int64_t steps_begun() const { return steps_begun_.load(std::memory_order_relaxed); }
  /// When a collective last ended; the clock's origin if none has.
  double last_ended_seconds() const { return last_ended_.load(std::memory_order_relaxed); }
  const Clock& clock() const { return clock_; }

 private:
  SharedRecord& place_of(const CollectiveRecord& record);

  const Clock& clock_;
  std::array<SharedRecord, kRecords> ring_;
  std::atomic<std::int64_t> newest_ = 0;
  SharedRecord wait_;
  std::atomic<std::int64_t> waits_for_ = 0;  ///< a number; 0: nothing
  std::atomic<std::int64_t> step_ = 0;
  std::atomic<std::int64_t> steps_begun_ = 0;
  std::atomic<double> last_ended_ = 0;
  mutable std::mutex channels_mutex_;
  std::deque<Channel> channels_;  ///< places stay when it grows
};

}  // namespace hetmoe
