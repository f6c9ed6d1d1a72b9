#include "runtime/metrics/run_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "runtime/metrics/events_file.h"

namespace hetmoe {
namespace {

namespace fs = std::filesystem;

constexpr double kGuardWaitOfHolderSeconds = 5;

[[noreturn]] void fail(const char* action, const fs::path& path) {
  throw StorageError("cannot " + std::string(action) + " '" + path.string() +
                     "': " + std::strerror(errno));
}

std::string whole_seconds(double seconds) {
  return std::to_string(static_cast<int>(seconds)) + " s";
}

/// Asks again and again instead of blocking in flock(2): a process that was stopped while it
/// decided must not stop all others.
void wait_for_flock(int descriptor, const fs::path& path, double wait_seconds) {
  double pause_seconds = 0.001;
  for (double waited = 0;;
       waited += pause_seconds, pause_seconds = std::min(0.1, 2 * pause_seconds)) {
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) return;
    if (errno != EWOULDBLOCK && errno != EINTR) fail("lock", path);
    if (waited >= wait_seconds) {
      throw StorageError("cannot lock '" + path.string() + "': another process has held it for " +
                         whole_seconds(wait_seconds));
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(pause_seconds));
  }
}

/// Alone among all that look at a lock or change it. The file stays: one that is removed while
/// others wait for it would guard nothing.
class Guard {
 public:
  Guard(const RunDirectory& directory, double wait_seconds) {
    const fs::path path = directory.path() / "lock.guard";
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail("write", path);
    try {
      wait_for_flock(descriptor_, path, wait_seconds);
    } catch (...) {
      ::close(descriptor_);
      throw;
    }
  }
  ~Guard() { ::close(descriptor_); }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  int descriptor_ = -1;
};

/// The text of the lock, cut where it is too long for one; nothing: there is none.
std::optional<std::string> read_lock(const fs::path& path) {
  // Not blocking: what is no plain file shall not hold up the run.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) {
    if (errno == ENOENT) return {};
    fail("read", path);
  }
  std::string text;
  std::array<char, 4096> block = {};
  ssize_t got = 0;
  do {
    got = ::read(descriptor, block.data(), block.size());
    if (got > 0) text.append(block.data(), static_cast<std::size_t>(got));
  } while ((got > 0 && text.size() <= kLongestLockBytes) || (got < 0 && errno == EINTR));
  const int failure = got < 0 ? errno : 0;
  ::close(descriptor);
  if (failure == 0) return text;
  errno = failure;
  fail("read", path);
}

std::string described(const std::optional<LockHolder>& holder) {
  return holder ? holder->text() : "a damaged lock.json";
}

std::string named(const RunDirectory& directory) {
  return "run directory '" + directory.path().string() + "'";
}

[[noreturn]] void refuse(const RunDirectory& directory, const std::optional<LockHolder>& holder) {
  throw StorageError(named(directory) + " is in use by " +
                     (holder ? holder->text() : "a process that changes a damaged lock.json") +
                     ": stop that run first, or give another --run-dir");
}

/// While it lives, signals go to other threads only; a thread made meanwhile keeps it so.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all = {};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_ = {};
};

}  // namespace

struct RunLock::Watched {
  std::optional<std::string> text;
  double since_seconds = 0;
};

RunLock::RunLock(RunDirectory directory, LockHolder self, const Clock& clock,
                 RunLockOptions options)
    : directory_(std::move(directory)), options_(std::move(options)), self_(std::move(self)) {
  Watched watched;
  while (!try_take(watched, clock)) {
    std::this_thread::sleep_for(std::chrono::duration<double>(options_.poll_seconds));
  }
  const SignalsBlocked for_refresher;
  refresher_ = std::thread([this] { keep_refreshing(); });
}

RunLock::~RunLock() { release(); }

/// The guard is not held from one look to the next, so everything is decided anew each time.
bool RunLock::try_take(Watched& watched, const Clock& clock) {
  const Guard guard(directory_, options_.guard_seconds);
  // Before reading: a lock that reads the same now was silent at least until now.
  const double now = clock.monotonic_seconds();
  std::optional<std::string> text = read_lock(directory_.lock_file());
  if (!text) {
    take(0, "");
    return true;
  }
  const std::optional<LockHolder> holder = read_lock_holder(*text);
  const int old_generation = holder ? holder->generation : 0;
  if (holder) {
    if (const auto reason = reason_to_take_over(*holder, self_)) {
      take(old_generation, "taken over from " + holder->text() + ": " + *reason);
      return true;
    }
  }
  if (!watched.text) {
    if (options_.on_wait) {
      options_.on_wait(named(directory_) + " is locked by " + described(holder) +
                       ": watching it for " + whole_seconds(options_.silence_seconds));
    }
    watched = {std::move(text), clock.monotonic_seconds()};
    return false;
  }
  if (*text != *watched.text) refuse(directory_, holder);
  if (now - watched.since_seconds < options_.silence_seconds) return false;
  take(old_generation, "taken over from " + described(holder) + ": silent for " +
                           whole_seconds(options_.silence_seconds));
  return true;
}

void RunLock::take(int old_generation, std::string taken_over) {
  const int largest = std::max(old_generation, largest_generation(directory_.events_file()));
  if (largest >= kLargestGeneration) {
    throw StorageError(named(directory_) + " has generation " + std::to_string(largest) +
                       ", allowed: below " + std::to_string(kLargestGeneration));
  }
  self_.generation = largest + 1;
  self_.beat = 0;
  write_file_atomically(directory_.lock_file(), write_lock_holder(self_));
  taken_over_ = std::move(taken_over);
}

void RunLock::keep_refreshing() {
  const auto pause = std::chrono::duration<double>(options_.refresh_seconds);
  std::unique_lock lock(mutex_);
  while (!stopping_.wait_for(lock, pause, [this] { return stop_; })) {
    lock.unlock();
    try {
      refresh();
    } catch (const std::exception&) {
      // A full disk or a storage server away is no loss of the lock: the next refresh tells.
    }
    lock.lock();
    if (lost_) return;
  }
}

void RunLock::refresh() {
  const Guard guard(directory_, kGuardWaitOfHolderSeconds);
  const std::optional<std::string> text = read_lock(directory_.lock_file());
  if (!text) return lose("somebody who removed lock.json");
  const std::optional<LockHolder> holder = read_lock_holder(*text);
  if (!holder || !same_holding(*holder, self_)) return lose(described(holder));
  ++self_.beat;
  write_file_atomically(directory_.lock_file(), write_lock_holder(self_));
}

void RunLock::lose(const std::string& to) {
  const std::lock_guard lock(mutex_);
  lost_text_ = named(directory_) + " was lost to " + to;
  lost_ = true;
}

std::string RunLock::lost_text() const {
  const std::lock_guard lock(mutex_);
  return lost_text_;
}

void RunLock::release() noexcept {
  if (!refresher_.joinable()) return;
  try {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    stopping_.notify_all();
    refresher_.join();
    const Guard guard(directory_, kGuardWaitOfHolderSeconds);
    const std::optional<std::string> text = read_lock(directory_.lock_file());
    const std::optional<LockHolder> holder = text ? read_lock_holder(*text) : std::nullopt;
    if (holder && same_holding(*holder, self_)) fs::remove(directory_.lock_file());
  } catch (const std::exception&) {
    // The file stays behind; the next run finds that this process is gone.
  }
}

bool locked_by_another(const RunDirectory& directory) {
  try {
    const std::optional<std::string> text = read_lock(directory.lock_file());
    if (!text) return false;
    const std::optional<LockHolder> holder = read_lock_holder(*text);
    LockHolder self = this_process();
    if (holder) self.generation = holder->generation;
    return !holder || !same_holding(*holder, self);
  } catch (const std::exception&) {
    return true;
  }
}

bool write_as_generation(const RunDirectory& directory, int generation,
                         const std::function<void()>& write) {
  std::optional<Guard> guard;
  int newest = 0;
  try {
    guard.emplace(directory, kGuardWaitOfHolderSeconds);
  } catch (const StorageError&) {
    // A last word that may come too late is better than none.
  }
  try {
    const std::optional<std::string> text = read_lock(directory.lock_file());
    const std::optional<LockHolder> holder = text ? read_lock_holder(*text) : std::nullopt;
    newest = holder ? holder->generation : 0;
  } catch (const StorageError&) {
    // Then the events have to tell.
  }
  newest = std::max(newest, largest_generation(directory.events_file()));
  if (newest > generation) return false;
  write();
  return true;
}

}  // namespace hetmoe
