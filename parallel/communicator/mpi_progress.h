#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include "parallel/communicator/communicator.h"
#include "parallel/communicator/mpi_calls.h"

namespace hetmoe {

/// A block of uninitialised memory.
struct Scratch {
  std::unique_ptr<std::byte[]> memory;
  std::size_t size_bytes = 0;
};

/// One started collective: requests in stages; when all requests of a stage have completed, the
/// next stage does its arithmetic and posts more. All members are called under MpiProgress's lock.
class MpiOperation {
 public:
  explicit MpiOperation(const OperationName& name) : name_(name) {}
  virtual ~MpiOperation() = default;
  MpiOperation(const MpiOperation&) = delete;
  MpiOperation& operator=(const MpiOperation&) = delete;

  /// Does all that can be done now, without blocking. True when finished, also by an error.
  bool advance();
  const std::exception_ptr& error() const { return error_; }
  const OperationName& name() const { return name_; }

 protected:
  /// Called once at the start and whenever every request has completed. Posts into `requests`;
  /// returns true when nothing is left to do (then it must have posted nothing).
  virtual bool next_stage(std::vector<MPI_Request>& requests) = 0;

  void check(int code) const { check_mpi(code, name_); }
  /// True when all of `requests` have completed, which are then cleared.
  bool all_completed(std::vector<MPI_Request>& requests);

 private:
  OperationName name_;
  std::vector<MPI_Status> statuses_;
  std::vector<MPI_Request> requests_;
  std::exception_ptr error_;
  bool finished_ = false;
};

/// Drives every started collective of a process. Whoever waits for one operation advances all:
/// otherwise two ranks that wait for two staged operations in different order would starve each
/// other, since Open MPI has no progress thread and knows nothing of our stages.
class MpiProgress {
 public:
  /// Starts an operation; the result waits in its destructor when it was not waited for.
  static Pending start(const std::shared_ptr<MpiProgress>& self,
                       std::unique_ptr<MpiOperation> operation);

  /// Advances everything once.
  void poll();

  /// Blocks politely until `operation` has finished. False after `limit_seconds` (0: no limit).
  bool wait(MpiOperation& operation, double limit_seconds = 0);
  bool done(MpiOperation& operation);

  /// Memory that is kept for the next operation: fresh pages cost more than the sums. Under lock().
  Scratch take_scratch(std::size_t size_bytes);
  void give_scratch(Scratch scratch);

  std::mutex& lock() { return mutex_; }

 private:
  bool advance(MpiOperation& operation);

  std::mutex mutex_;
  std::vector<MpiOperation*> active_;
  std::vector<Scratch> scratch_;
};

}  // namespace hetmoe
