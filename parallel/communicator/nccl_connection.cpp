#include "parallel/communicator/nccl_connection.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <limits>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"

namespace hetmoe {
namespace {

using Clock = std::chrono::steady_clock;

// Polls before a waiting rank offers its core.
constexpr int kSpins = 32;
// How long a rank that is already failing waits for the device before it aborts.
constexpr double kUnwindingLimitSeconds = 5;
// How long whoever stops a group waits for the thread that uses it: its calls do not block.
constexpr std::chrono::seconds kStopLimit(1);

double seconds_since(Clock::time_point time) {
  return std::chrono::duration<double>(Clock::now() - time).count();
}

/// 0 stands for ever.
double limit_of(double seconds) {
  return seconds > 0 ? seconds : std::numeric_limits<double>::infinity();
}

std::string late_text(const OperationName& name, double limit_seconds) {
  return detail::concatenate(name.operation, " (operation ", name.sequence, ") on rank ", name.rank,
                             " of ", name.size, " did not end within ", limit_seconds, " s");
}

bool is_error(ncclResult_t result) { return result != ncclSuccess && result != ncclInProgress; }

class NcclPending final : public Pending::Operation {
 public:
  NcclPending(std::shared_ptr<NcclConnection> connection,
              std::shared_ptr<NcclConnection::Started> started)
      : connection_(std::move(connection)),
        started_(std::move(started)),
        exceptions_at_start_(std::uncaught_exceptions()) {}

  // The device may still use the buffers, which are about to go.
  ~NcclPending() override {
    if (waited_) return;
    const double limit = limit_of(connection_->options().groups->timeout_seconds());
    const bool unwinding = std::uncaught_exceptions() > exceptions_at_start_;
    connection_->finish(*started_, unwinding ? std::min(kUnwindingLimitSeconds, limit) : limit);
  }

  void wait() override {
    waited_ = true;  // the stream's order keeps the buffers; after an error nothing uses them
    connection_->hold(*started_);
  }

  bool done() override { return connection_->has_ended(*started_); }

 private:
  std::shared_ptr<NcclConnection> connection_;
  std::shared_ptr<NcclConnection::Started> started_;
  int exceptions_at_start_;
  bool waited_ = false;
};

}  // namespace

NcclConnection::NcclConnection(NcclOptions options, int rank, int size)
    : options_(std::move(options)),
      rank_(rank),
      size_(size),
      exceptions_at_start_(std::uncaught_exceptions()),
      scratch_(size > 1 ? static_cast<std::size_t>(options_.scratch_bytes) : 0) {
  options_.groups->enter(*this);
}

NcclConnection::~NcclConnection() {
  options_.groups->leave(*this);
  try {
    if (std::uncaught_exceptions() <= exceptions_at_start_) close();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  if (comm_ != nullptr) ncclCommAbort(comm_);
}

void NcclConnection::connect(const ncclUniqueId& id) {
  const OperationName name{"ncclCommInitRankConfig", 0, rank_, size_};
  try {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    {
      const std::scoped_lock guard(mutex_);
      const ncclResult_t result = ncclCommInitRankConfig(&comm_, size_, id, rank_, &config);
      check_nccl("ncclCommInitRankConfig", result, name, comm_);
    }
    settle(name);
  } catch (const std::exception& error) {
    fail(error.what());
    throw;
  }
}

/// An aborted group has nothing left to close.
void NcclConnection::close() {
  if (comm_ == nullptr) return;
  const OperationName name{"ncclCommFinalize", 0, rank_, size_};
  check_nccl(name.operation, ncclCommFinalize(comm_), name, comm_);
  settle(name);  // until all that was given to NCCL has ended
  check_nccl("ncclCommDestroy", ncclCommDestroy(std::exchange(comm_, nullptr)), name, nullptr);
}

Pending NcclConnection::start(const std::shared_ptr<NcclConnection>& self,
                              const OperationName& name, const std::function<void()>& enqueue) {
  std::shared_ptr<Started> started;
  try {
    {
      const std::scoped_lock guard(self->mutex_);
      self->check_alive();
      started = self->work_.place_for(name);
    }
    gpu::order(self->options_.compute_stream(), self->stream(), self->before_);
    enqueue();
    started->ended.record(self->stream());
  } catch (const std::exception& error) {
    self->fail(error.what());  // the peers have begun what this rank has not
    throw;
  }
  const std::scoped_lock guard(self->mutex_);
  self->work_.add(started);
  return Pending(std::make_unique<NcclPending>(self, started));
}

void NcclConnection::launch(const OperationName& name,
                            const std::function<void(ncclComm_t)>& calls) {
  {
    const std::scoped_lock guard(mutex_);
    check_alive();
    calls(comm_);
  }
  settle(name);
}

/// Until then NCCL may not have put its work on the stream, and takes no other.
void NcclConnection::settle(const OperationName& name) {
  poll_until(name, limit_of(options_.groups->timeout_seconds()), [&] {
    const std::scoped_lock guard(mutex_);
    check_alive();
    ncclResult_t state = ncclSuccess;
    check_nccl("ncclCommGetAsyncError", ncclCommGetAsyncError(comm_, &state), name, comm_);
    check_nccl("asynchronous error", state, name, comm_);
    return state != ncclInProgress;
  });
}

void NcclConnection::poll_until(const OperationName& name, double limit_seconds,
                                const std::function<bool()>& ended) const {
  const Clock::time_point begin = Clock::now();
  for (int polls = 1; !ended(); ++polls) {
    if (polls < kSpins) continue;
    sched_yield();
    if (seconds_since(begin) > limit_seconds)
      throw CommunicationError(late_text(name, limit_seconds));
  }
}

void NcclConnection::hold(Started& started) {
  {
    const std::scoped_lock guard(mutex_);
    work_.ask_for(started);
    throw_error(Asks::kLibrary);  // a host has better to do than to ask the device
  }
  started.ended.hold(options_.compute_stream());
}

bool NcclConnection::has_ended(Started& started) {
  const std::scoped_lock guard(mutex_);
  work_.ask_for(started);
  try {
    throw_error(Asks::kDeviceToo);
    return started.ended.reached();
  } catch (const std::exception& error) {
    fail_locked(error.what());
    return true;  // wait() says why
  }
}

void NcclConnection::finish(Started& started, double limit_seconds) noexcept {
  try {
    poll_until(started.name, limit_seconds, [&] {
      const std::scoped_lock guard(mutex_);
      throw_error(Asks::kDeviceToo);
      return started.ended.reached();
    });
  } catch (const std::exception& error) {
    fail(error.what());
  }
}

std::optional<std::string> NcclConnection::asynchronous_error() {
  const std::scoped_lock guard(mutex_);
  return error_now(Asks::kDeviceToo);
}

void NcclConnection::stop(const std::string& reason) noexcept {
  const std::unique_lock guard(mutex_, kStopLimit);
  if (guard.owns_lock()) fail_locked(reason);
}

void NcclConnection::look() {
  const std::scoped_lock guard(mutex_);
  throw_error(Asks::kDeviceToo);
}

void NcclConnection::fail(const std::string& message) noexcept {
  const std::scoped_lock guard(mutex_);
  fail_locked(message);
}

void NcclConnection::check_alive() const {
  if (failure_) throw CommunicationError(*failure_);
}

void NcclConnection::fail_locked(const std::string& message) noexcept {
  if (failure_) return;
  failure_ = message;
  if (comm_ != nullptr) ncclCommAbort(std::exchange(comm_, nullptr));
}

void NcclConnection::throw_error(Asks asks) {
  if (const std::optional<std::string> error = error_now(asks)) {
    fail_locked(*error);
    throw CommunicationError(*error);
  }
}

std::optional<std::string> NcclConnection::error_now(Asks asks) {
  if (failure_) return failure_;
  try {
    if (asks == Asks::kDeviceToo) {
      gpu::use_device(device_);  // a watchdog's thread would open the first one
      work_.forget_ended();
    }
    ncclResult_t state = ncclSuccess;
    ncclResult_t asked = ncclSuccess;
    if (comm_ != nullptr) asked = ncclCommGetAsyncError(comm_, &state);
    if (is_error(asked) || is_error(state)) {
      work_.forget_ended();
      const OperationName none{"no operation", 0, rank_, size_};
      const OperationName& name = work_.oldest() != nullptr ? work_.oldest()->name : none;
      check_nccl("ncclCommGetAsyncError", asked, name, comm_);
      check_nccl("asynchronous error", state, name, comm_);
    }
    const double limit = limit_of(options_.groups->timeout_seconds());
    if (const Started* late = work_.overdue(limit)) return late_text(late->name, limit);
    return std::nullopt;
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace hetmoe
