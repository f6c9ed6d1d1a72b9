#pragma once

#include <functional>
#include <memory>
#include <string>

#include "parallel/communicator/communicator.h"

namespace hetmoe {

class LocalJob;
class LocalGroup;

/// Ranks that are threads of one process: the Communicator for fast tests, sanitizers and runs
/// without MPI. Gives the same bits as MPI. Beyond the seam it checks what only an onlooker of all
/// ranks can: operations, counts and types that do not match end in a CommunicationError on every
/// rank that names the operation, its number and the ranks.
/// A collective moves data once the last rank has joined it; the receive buffers of a Pending may
/// change at any time until it was waited for.
class LocalWorld {
 public:
  explicit LocalWorld(int size);
  ~LocalWorld();

  /// The communicator of one rank; made once per rank, used by one thread at a time. It may outlive
  /// this object.
  std::unique_ptr<Communicator> communicator(int rank);

  /// Wakes every rank that waits, now or later, in any group of this world with
  /// CommunicationError("peer rank N failed: message"). The first call counts.
  void fail(int rank, const std::string& message);

  /// Says that `rank` will start no more collectives; who waits for it gets a CommunicationError.
  void leave(int rank);

  /// The first rank that failed, or -1, and its message.
  int first_failed_rank() const;
  std::string failure() const;

 private:
  std::shared_ptr<LocalJob> job_;
  std::shared_ptr<LocalGroup> group_;
};

/// Runs `body` on `size` threads, one per rank, and returns when all have ended. If one throws, its
/// peers are woken from their collectives as LocalWorld::fail says, and the first cause is
/// rethrown.
void run_ranks(int size, const std::function<void(Communicator&)>& body);

}  // namespace hetmoe
