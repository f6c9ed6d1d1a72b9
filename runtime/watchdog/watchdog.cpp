#include "runtime/watchdog/watchdog.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/files/atomic_file.h"

namespace hetmoe {
namespace {

constexpr double kPollSeconds = 0.2;

void make_folder(const std::filesystem::path& folder) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) throw StorageError("cannot make '" + folder.string() + "': " + failure.message());
}

std::string number_text(double number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", number);
  return text.data();
}

std::string cause_of(const ExpiredWait& expired, const CollectiveLog& log) {
  const auto communicators = log.communicators();
  const ReportedWait wait{
      communicators.at(static_cast<std::size_t>(expired.record.communicator)).name,
      expired.record.operation, expired.record.sequence, expired.record.step, 0};
  return collective_text(wait) + " (" + std::to_string(expired.record.bytes) +
         " bytes) was waited for longer than " +
         (expired.first ? "train.first_collective_seconds" : "train.collective_seconds") + " " +
         number_text(expired.deadline_seconds);
}

/// Makes a file that only the first of several ranks makes. Without a temporary file beside it:
/// processes on two hosts may have the same number. That `text` arrives is not essential.
bool is_first_to_make(const std::filesystem::path& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (file < 0) return errno != EEXIST;
  const std::string line = text + "\n";
  if (::write(file, line.data(), line.size()) < 0) std::perror(path.c_str());
  ::close(file);
  return true;
}

}  // namespace

Watchdog::Watchdog(const CollectiveLog& log, WatchdogSettings settings, WatchdogActions actions)
    : log_(log), settings_(std::move(settings)), actions_(std::move(actions)) {
  make_folder(settings_.folder);
  forget_earlier_run();
  deadline_thread_ = std::jthread([this](const std::stop_token& stop) { watch_deadline(stop); });
  alarm_thread_ = std::jthread([this](const std::stop_token& stop) { watch_alarm(stop); });
}

Watchdog::~Watchdog() = default;

/// Reports of other generations stay: people may still want to read them.
void Watchdog::forget_earlier_run() const {
  std::error_code ignored;
  std::filesystem::remove(alarm_file(), ignored);
  std::filesystem::remove(verdict_file(), ignored);
  if (read_report(settings_.folder, settings_.identity))
    std::filesystem::remove(report_file(settings_.folder, settings_.identity.rank), ignored);
}

/// Touches no disk: what everybody waits for may be a rank whose disk hangs.
void Watchdog::watch_deadline(const std::stop_token& stop) {
  DeadlineCheck deadline(log_, settings_.deadlines);
  while (!pause(stop, settings_.look_seconds)) {
    if (const std::optional<ExpiredWait> expired = deadline.look())
      return end(stop, cause_of(*expired, log_), true);
    if (!settings_.device_error) continue;
    if (const std::optional<std::string> error = settings_.device_error())
      return end(stop, *error, true);
  }
}

void Watchdog::watch_alarm(const std::stop_token& stop) {
  while (!pause(stop, settings_.look_seconds)) {
    if (alarm_is_raised()) return end(stop, "another rank has raised the alarm", false);
  }
}

/// Opening the folder makes a network file system drop what it remembers of it.
bool Watchdog::alarm_is_raised() const {
  const int folder = ::open(settings_.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return false;
  const bool raised = ::faccessat(folder, alarm_file().filename().c_str(), F_OK, 0) == 0;
  ::close(folder);
  return raised;
}

std::string Watchdog::alarm_text() const {
  std::ifstream file(alarm_file());
  std::string line;
  std::getline(file, line);
  return line;
}

void Watchdog::end(const std::stop_token& stop, const std::string& cause, bool raise_alarm) {
  if (ending_.exchange(true)) return;
  // The disk may be what hangs: then nothing of what follows returns.
  const std::jthread last_resort([&](const std::stop_token& ended) {
    if (!pause(ended, settings_.leave_seconds)) actions_.end_process(cause);
  });
  try {
    report_and_end(stop, cause, raise_alarm);
  } catch (const std::exception& error) {
    actions_.end_process(cause + "; " + describe(error));
  }
}

void Watchdog::report_and_end(const std::stop_token& stop, const std::string& cause,
                              bool raise_alarm) {
  const RankReport own = report_of(log_, settings_.identity);
  actions_.note("watchdog: " + cause + "; this rank " +
                (own.wait ? "waits for " + collective_text(*own.wait) : "waits for no collective"));
  write_file_atomically(report_file(settings_.folder, settings_.identity.rank),
                        report_json(own, log_));
  if (raise_alarm) is_first_to_make(alarm_file(), cause);
  const std::vector<RankReport> reports = gather_reports();
  if (!lower_rank_reports()) {
    // One rank speaks: not also one that was stopped and is woken in order to be ended.
    const Verdict verdict = find_verdict(reports, settings_.identity.size);
    // Hosts that wait for nobody cannot tell what a device waits for: who raised the alarm has.
    const bool is_known = !verdict.wait.operation.empty();
    const std::string text =
        "watchdog: " + (is_known ? "" : alarm_text() + "; ") + verdict_text(verdict, reports);
    if (is_first_to_make(verdict_file(), text)) {
      actions_.record(verdict, text);
      actions_.end_job(text);
      return;
    }
  }
  pause(stop, settings_.leave_seconds);  // another rank ends this one
}

/// Those of all ranks, or of those that report within the grace; of few when a lower rank reports,
/// which will gather them itself.
std::vector<RankReport> Watchdog::gather_reports() {
  const std::stop_token never;
  std::vector<RankReport> reports;
  for (double waited = 0; waited < settings_.grace_seconds; waited += kPollSeconds) {
    if (lower_rank_reports()) break;
    reports = reports_so_far();
    if (static_cast<int>(reports.size()) == settings_.identity.size) break;
    pause(never, kPollSeconds);
  }
  return reports;
}

bool Watchdog::lower_rank_reports() const {
  RankIdentity lower = settings_.identity;
  for (lower.rank = 0; lower.rank < settings_.identity.rank; ++lower.rank) {
    if (read_report(settings_.folder, lower)) return true;
  }
  return false;
}

std::vector<RankReport> Watchdog::reports_so_far() const {
  std::vector<RankReport> reports;
  RankIdentity one = settings_.identity;
  for (one.rank = 0; one.rank < settings_.identity.size; ++one.rank) {
    if (auto report = read_report(settings_.folder, one)) reports.push_back(std::move(*report));
  }
  return reports;
}

/// True as soon as a stop is requested, false after `seconds`.
bool Watchdog::pause(const std::stop_token& stop, double seconds) {
  std::unique_lock guard(mutex_);
  return stopped_.wait_for(guard, stop, std::chrono::duration<double>(seconds),
                           [&] { return stop.stop_requested(); });
}

std::filesystem::path Watchdog::alarm_file() const {
  return settings_.folder / ("alarm-" + std::to_string(settings_.identity.generation));
}

std::filesystem::path Watchdog::verdict_file() const {
  return settings_.folder / ("verdict-" + std::to_string(settings_.identity.generation));
}

}  // namespace hetmoe
