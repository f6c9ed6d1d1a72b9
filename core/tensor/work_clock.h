#pragma once

#include <cstddef>
#include <memory>

#include "core/base/clock.h"

namespace hetmoe {

/// How long work takes on what does it: a host by its clock; a GPU by events of the compute stream,
/// which the host does not wait for. Threads: one at a time.
class WorkClock {
 public:
  virtual ~WorkClock() = default;

  /// Marks the end of all work given so far, and gives its number: 0, 1, 2, ... since `restart` or
  /// `forget_before`. Allocates only where there were never so many.
  virtual std::size_t mark() = 0;
  virtual std::size_t marks() const = 0;
  /// From one mark to a later one, once the host has waited for both, by `wait` or otherwise.
  virtual double seconds_between(std::size_t earlier, std::size_t later) const = 0;
  /// The host waits for all work given so far.
  virtual void wait() = 0;
  /// Whether all work before the mark has been done. The host does not wait.
  virtual bool reached(std::size_t mark) const = 0;
  /// Forgets the marks before this one, which is number 0 from now on.
  virtual void forget_before(std::size_t mark) = 0;
  /// Forgets all but the last; `mark` need not be called again for what follows it.
  void restart() {
    if (marks() > 0) forget_before(marks() - 1);
  }
};

/// `clock` must outlive it.
std::unique_ptr<WorkClock> make_host_work_clock(const Clock& clock);

/// Of each calling thread's compute stream. Without CUDA built in: a broken invariant.
std::unique_ptr<WorkClock> make_gpu_work_clock();

}  // namespace hetmoe
