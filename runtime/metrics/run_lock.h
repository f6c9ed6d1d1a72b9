#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "core/base/clock.h"
#include "runtime/metrics/lock_holder.h"
#include "runtime/metrics/run_directory.h"

namespace hetmoe {

struct RunLockOptions {
  double refresh_seconds = 10;
  double silence_seconds = 60;  ///< a lock that has not changed for so long is taken over
  double poll_seconds = 0.5;    ///< between two looks at a lock that is being watched
  double guard_seconds = 60;    ///< longest wait for a process that looks at the lock just now
  /// Called once, with one line, before a lock is watched.
  std::function<void(const std::string&)> on_wait = {};
};

/// The lock of a run directory, `lock.json`: while it lives, no other run writes there. Rank 0
/// only. A thread of its own refreshes it. Whoever looks at the lock or changes it holds flock(2)
/// on `lock.guard` meanwhile, so that of several that take it or take it over at once one gets it.
/// Other hosts' clocks are never compared: silence is what the reader sees by its own Clock.
///
/// A free lock is taken at once, as is one whose process is gone from this host, and one that ran
/// on another host under the same Slurm job or HETMOE_LAUNCH_ID. Any other is watched: StorageError
/// when it changes, taken over when it stays the same for silence_seconds. A damaged lock.json says
/// nothing of its holder and is watched like that.
class RunLock {
 public:
  /// Blocking: the disk, and up to silence_seconds when a lock has to be watched.
  /// The generation of `self` is set: 1 + the largest in events.jsonl and the old lock.json.
  /// Errors: StorageError that names the folder and who holds it, or the file and the system's
  /// reason (a file system without flock is one).
  RunLock(RunDirectory directory, LockHolder self, const Clock& clock, RunLockOptions options = {});
  ~RunLock();  ///< release()
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  int generation() const { return self_.generation; }

  /// From whom and why, one line for people and the event log; empty: the lock was free.
  const std::string& taken_over() const { return taken_over_; }

  /// Whether another run has taken the lock over, or the file is gone or damaged; seen at the next
  /// refresh. The run must then stop and write nothing more into the folder, exit.json included.
  /// Any thread; cheap.
  bool lost() const { return lost_; }

  /// One line that says to whom; empty while not lost. Any thread.
  std::string lost_text() const;

  /// Ends the refreshing and removes lock.json if it still is this one. One that cannot be removed
  /// stays; the next run sees that the process is gone. Blocking: 10 s at most.
  void release() noexcept;

 private:
  struct Watched;

  bool try_take(Watched& watched, const Clock& clock);
  void take(int old_generation, std::string taken_over);
  void keep_refreshing();
  void refresh();
  void lose(const std::string& to);

  const RunDirectory directory_;
  const RunLockOptions options_;
  LockHolder self_;  ///< the beat: the refreshing thread only, once it runs
  std::string taken_over_;
  std::atomic<bool> lost_ = false;
  mutable std::mutex mutex_;  ///< of what follows
  std::condition_variable stopping_;
  bool stop_ = false;
  std::string lost_text_;
  std::thread refresher_;
};

/// Whether the folder holds the lock of another process than this one. Never throws; a lock that
/// cannot be read is another's.
bool locked_by_another(const RunDirectory& directory);

/// Runs `write` unless a later generation than `generation` has taken the folder, as the lock or
/// events.jsonl say: ranks that outlive their run must not speak for the next one. Nobody can take
/// the folder meanwhile, unless a process that was stopped holds the guard. For all ranks; gives
/// whether it ran. Blocking: 5 s at most beside the disk. Errors: those of `write`.
bool write_as_generation(const RunDirectory& directory, int generation,
                         const std::function<void()>& write);

}  // namespace hetmoe
