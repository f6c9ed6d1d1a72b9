#pragma once

#include <cstdint>
#include <memory>

#include "parallel/communicator/communicator.h"

namespace hetmoe {

/// Initialises MPI and finalises it: one per process, made first in main and outlived by nothing
/// that communicates. Every call is collective over all ranks of the job except is_launched.
/// Threads: two threads may use two communicators at once (all MPI calls take one lock, so
/// MPI_THREAD_SERIALIZED is enough); split, world and the destructor want all others idle.
/// Destroyed by an exception it does not finalise, for the peers may never come: catch errors
/// inside its lifetime, or let the launcher end the job.
class MpiRuntime {
 public:
  /// Errors: CommunicationError if MPI cannot start or gives less than MPI_THREAD_SERIALIZED.
  MpiRuntime(int& argument_count, char**& arguments);
  ~MpiRuntime();
  MpiRuntime(const MpiRuntime&) = delete;
  MpiRuntime& operator=(const MpiRuntime&) = delete;

  /// A duplicate of all ranks. `largest_message_bytes`: what one MPI call may carry; longer ones
  /// are split (lowered by tests only, equal on all ranks).
  std::unique_ptr<Communicator> world(std::int64_t largest_message_bytes = std::int64_t{1} << 30);

  /// Whether a launcher (mpirun, mpiexec, srun --mpi) started this process; asks the environment
  /// and may be called before MPI starts.
  static bool is_launched();

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace hetmoe
