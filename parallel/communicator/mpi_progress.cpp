#include "parallel/communicator/mpi_progress.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "core/base/error.h"

namespace hetmoe {
namespace {

// Polls before a waiting rank offers its core: a few microseconds, about a message's latency.
constexpr int kSpins = 32;
// How long a rank that is already failing waits for peers before it ends the job.
constexpr double kUnwindingLimitSeconds = 5;
// A step has one reduction under way for each of a model's blocks.
constexpr std::size_t kKeptScratchBlocks = 64;

double now_seconds() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

class MpiPending final : public Pending::Operation {
 public:
  MpiPending(std::shared_ptr<MpiProgress> progress, std::unique_ptr<MpiOperation> operation)
      : progress_(std::move(progress)),
        operation_(std::move(operation)),
        exceptions_at_start_(std::uncaught_exceptions()) {}

  ~MpiPending() override {
    if (!waited_) wait_or_abort();
    const std::scoped_lock guard(progress_->lock());
    operation_.reset();  // gives its scratch back
  }

  void wait() override {
    waited_ = true;
    progress_->wait(*operation_);
    if (operation_->error()) std::rethrow_exception(operation_->error());
  }

  bool done() override { return progress_->done(*operation_); }

 private:
  // A destructor cannot throw, and the buffers are about to go while MPI still writes to them.
  void wait_or_abort() {
    const bool unwinding = std::uncaught_exceptions() > exceptions_at_start_;
    const bool finished = progress_->wait(*operation_, unwinding ? kUnwindingLimitSeconds : 0);
    if (finished && !operation_->error()) return;
    const OperationName& name = operation_->name();
    std::fprintf(stderr, "rank %d of %d: %s (operation %lld) %s; ending the job\n", name.rank,
                 name.size, name.operation, static_cast<long long>(name.sequence),
                 finished ? "failed" : "was left unfinished by an error");
    std::fflush(stderr);
    MPI_Abort(MPI_COMM_WORLD, static_cast<int>(ExitCode::kCommunication));
  }

  std::shared_ptr<MpiProgress> progress_;
  std::unique_ptr<MpiOperation> operation_;
  int exceptions_at_start_;
  bool waited_ = false;
};

}  // namespace

bool MpiOperation::all_completed(std::vector<MPI_Request>& requests) {
  if (requests.empty()) return true;
  int flag = 0;
  statuses_.resize(requests.size());
  const int code =
      MPI_Testall(static_cast<int>(requests.size()), requests.data(), &flag, statuses_.data());
  if (code == MPI_ERR_IN_STATUS) {
    for (const MPI_Status& status : statuses_)
      if (status.MPI_ERROR != MPI_ERR_PENDING) check(status.MPI_ERROR);
  }
  check(code);
  if (flag != 0) requests.clear();
  return flag != 0;
}

bool MpiOperation::advance() {
  try {
    while (!finished_ && all_completed(requests_)) finished_ = next_stage(requests_);
  } catch (...) {
    error_ = std::current_exception();
    finished_ = true;
  }
  return finished_;
}

Pending MpiProgress::start(const std::shared_ptr<MpiProgress>& self,
                           std::unique_ptr<MpiOperation> operation) {
  {
    const std::scoped_lock guard(self->mutex_);
    if (!operation->advance()) self->active_.push_back(operation.get());
  }
  return Pending(std::make_unique<MpiPending>(self, std::move(operation)));
}

bool MpiProgress::advance(MpiOperation& operation) {
  if (!operation.advance()) return false;
  std::erase(active_, &operation);
  return true;
}

void MpiProgress::poll() {
  const std::scoped_lock guard(mutex_);
  std::erase_if(active_, [](MpiOperation* operation) { return operation->advance(); });
}

bool MpiProgress::done(MpiOperation& operation) {
  {
    const std::scoped_lock guard(mutex_);
    if (advance(operation)) return true;
  }
  poll();
  return false;
}

bool MpiProgress::wait(MpiOperation& operation, double limit_seconds) {
  const double start = limit_seconds > 0 ? now_seconds() : 0;
  for (int polls = 1; !done(operation); ++polls) {
    if (polls < kSpins) continue;
    sched_yield();  // more ranks than cores: the peer that we wait for needs this one
    if (limit_seconds > 0 && now_seconds() - start > limit_seconds) return false;
  }
  return true;
}

Scratch MpiProgress::take_scratch(std::size_t size_bytes) {
  const auto fits = [&](const Scratch& scratch) { return scratch.size_bytes >= size_bytes; };
  const auto found = std::find_if(scratch_.begin(), scratch_.end(), fits);
  if (found == scratch_.end())
    return {std::make_unique_for_overwrite<std::byte[]>(size_bytes), size_bytes};
  Scratch scratch = std::move(*found);
  scratch_.erase(found);
  return scratch;
}

void MpiProgress::give_scratch(Scratch scratch) {
  if (scratch_.size() >= kKeptScratchBlocks) scratch_.erase(scratch_.begin());
  scratch_.push_back(std::move(scratch));
}

}  // namespace hetmoe
