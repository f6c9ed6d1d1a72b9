#pragma once

// Private: shows gRPC.
#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <mutex>
#include <set>

#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/network/coordinator.pb.h"

namespace hetmoe {

class WatchStream;

/// The streams of statuses that are open. No thread waits for any of them: an alarm starts the next
/// status, and a slow reader delays nobody but itself. Any thread.
class WatchStreams {
 public:
  using Reactor = grpc::ServerWriteReactor<v1::StatusReply>;

  /// The coordinator must outlive this.
  explicit WatchStreams(Coordinator& coordinator) : coordinator_(coordinator) {}
  /// Waits until the last stream has gone: after end() and the server's shutdown only.
  ~WatchStreams();
  WatchStreams(const WatchStreams&) = delete;
  WatchStreams& operator=(const WatchStreams&) = delete;

  /// A stream that owns itself; one that is refused at once when there are kWatchers, or after
  /// end().
  Reactor* open(double interval_seconds);
  /// Every stream ends as soon as it can, and no further one begins.
  void end();

 private:
  friend class WatchStream;
  void forget(WatchStream* stream);

  Coordinator& coordinator_;
  std::mutex mutex_;
  std::condition_variable gone_;
  std::set<WatchStream*> streams_;
  bool ending_ = false;
};

/// Ends a stream before it begins; owns itself.
WatchStreams::Reactor* refused_watch(const grpc::Status& why);

}  // namespace hetmoe
