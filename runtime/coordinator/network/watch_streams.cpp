#include "runtime/coordinator/network/watch_streams.h"

#include <grpcpp/alarm.h>

#include <chrono>
#include <memory>
#include <optional>

#include "core/base/check.h"
#include "runtime/coordinator/limits.h"
#include "runtime/coordinator/network/call_status.h"
#include "runtime/coordinator/network/messages.h"

namespace hetmoe {
namespace {

class RefusedWatch final : public WatchStreams::Reactor {
 public:
  explicit RefusedWatch(const grpc::Status& why) { Finish(why); }
  void OnDone() override { delete this; }
};

grpc::Status going_away() {
  return {grpc::StatusCode::UNAVAILABLE, "the coordinator is shutting down"};
}

}  // namespace

WatchStreams::Reactor* refused_watch(const grpc::Status& why) { return new RefusedWatch(why); }

/// Either writes or waits for its alarm. gRPC may run a reaction before the call that causes it
/// returns, so writing and finishing are never done under the lock.
class WatchStream final : public WatchStreams::Reactor {
 public:
  WatchStream(WatchStreams& streams, double interval_seconds)
      : streams_(streams), interval_(std::chrono::duration<double>(interval_seconds)) {}

  void write() {
    try {
      reply_ = encode(streams_.coordinator_.status());
    } catch (const std::exception& error) {
      Finish(status_of(error));
      return;
    }
    StartWrite(&reply_);
  }

  void end() {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    if (alarm_) alarm_->Cancel();
  }

  void OnWriteDone(bool ok) override {
    if (ok && wait()) return;
    Finish(going_away());
  }

  void OnCancel() override { end(); }

  void OnDone() override {
    streams_.forget(this);
    delete this;
  }

 private:
  /// False: the stream is to end.
  bool wait() {
    const std::lock_guard lock(mutex_);
    if (ending_) return false;
    // A new one each time: the former may still be on its way out of the call to tick().
    alarm_.emplace();
    const auto deadline =
        std::chrono::system_clock::now() +
        std::chrono::duration_cast<std::chrono::system_clock::duration>(interval_);
    alarm_->Set(deadline, [this](bool) { tick(); });
    return true;
  }

  void tick() {
    bool ends = false;
    {
      const std::lock_guard lock(mutex_);
      ends = ending_;
    }
    if (ends) {
      Finish(going_away());
    } else {
      write();
    }
  }

  WatchStreams& streams_;
  const std::chrono::duration<double> interval_;
  v1::StatusReply reply_;
  std::mutex mutex_;
  bool ending_ = false;
  std::optional<grpc::Alarm> alarm_;
};

WatchStreams::~WatchStreams() {
  std::unique_lock lock(mutex_);
  gone_.wait(lock, [this] { return streams_.empty(); });
}

WatchStreams::Reactor* WatchStreams::open(double interval_seconds) {
  auto stream = std::make_unique<WatchStream>(*this, interval_seconds);
  {
    const std::lock_guard lock(mutex_);
    if (ending_) return refused_watch(going_away());
    if (streams_.size() >= coordinator_limits::kWatchers) {
      return refused_watch(
          {grpc::StatusCode::RESOURCE_EXHAUSTED,
           detail::concatenate("Watch: ", streams_.size(), " are open, allowed are up to ",
                               coordinator_limits::kWatchers)});
    }
    streams_.insert(stream.get());
  }
  stream->write();
  return stream.release();
}

void WatchStreams::end() {
  const std::lock_guard lock(mutex_);
  ending_ = true;
  for (WatchStream* stream : streams_) stream->end();
}

void WatchStreams::forget(WatchStream* stream) {
  const std::lock_guard lock(mutex_);
  streams_.erase(stream);
  gone_.notify_all();
}

}  // namespace hetmoe
