#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "parallel/communicator/collective_log.h"
#include "runtime/watchdog/deadline.h"
#include "runtime/watchdog/rank_report.h"
#include "runtime/watchdog/verdict.h"

namespace hetmoe {

struct WatchdogSettings {
  RankIdentity identity;
  std::filesystem::path folder;  ///< `RUN_DIR/collectives`, shared by all ranks
  CollectiveDeadlines deadlines;
  /// What has gone wrong on the device, whose collectives go on without a thread that waits
  /// (DeviceGroups). Asked at every look; empty where there is no device.
  std::function<std::optional<std::string>()> device_error = {};
  double look_seconds = 1;   ///< between two looks
  double grace_seconds = 5;  ///< how long ranks wait for one another's reports
  /// A rank whose deadline has passed and that nobody has ended by then leaves by itself; longer
  /// than the grace.
  double leave_seconds = 20;
};

/// What a watchdog brings about. Called by its threads.
struct WatchdogActions {
  /// On every rank: what this one was doing, for its log.
  std::function<void(const std::string& text)> note;
  /// On the lowest rank that lives, before end_job: for the event file and exit.json.
  std::function<void(const Verdict& verdict, const std::string& text)> record;
  /// On that rank: ends every rank of the job, `text` being why.
  std::function<void(const std::string& text)> end_job;
  /// On any rank, when nobody has ended the job in time (the disk may be what hangs): ends this
  /// process, whereupon the launcher ends the others. `text`: what this rank was doing.
  std::function<void(const std::string& text)> end_process;
};

/// Looks on, in threads of its own, while its rank communicates. When a collective has been waited
/// for beyond the deadline, or one on the device has failed, the rank writes its report into the
/// shared folder and raises an alarm there, on which every living rank reports too, also one that
/// computes. The lowest rank that reported says which collective it was and who is missing, and
/// ends the job; a stopped or dead process does not report in time and is named for it. Once
/// raised, an alarm is not taken back. Communicates by files only: the collectives are what may be
/// broken.
class Watchdog {
 public:
  /// Makes the folder and starts the threads. `log` must outlive this. Errors: StorageError.
  Watchdog(const CollectiveLog& log, WatchdogSettings settings, WatchdogActions actions);
  /// Blocking: an ending under way goes on until the job has been ended.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void forget_earlier_run() const;
  void watch_deadline(const std::stop_token& stop);
  void watch_alarm(const std::stop_token& stop);
  bool alarm_is_raised() const;
  std::string alarm_text() const;
  void end(const std::stop_token& stop, const std::string& cause, bool raise_alarm);
  void report_and_end(const std::stop_token& stop, const std::string& cause, bool raise_alarm);
  bool lower_rank_reports() const;
  std::vector<RankReport> gather_reports();
  std::vector<RankReport> reports_so_far() const;
  bool pause(const std::stop_token& stop, double seconds);
  std::filesystem::path alarm_file() const;
  std::filesystem::path verdict_file() const;

  const CollectiveLog& log_;
  WatchdogSettings settings_;
  WatchdogActions actions_;
  std::mutex mutex_;
  std::condition_variable_any stopped_;
  std::atomic<bool> ending_ = false;
  std::jthread deadline_thread_;  ///< these use all the others
  std::jthread alarm_thread_;
};

}  // namespace hetmoe
