#include "runtime/coordinator/network/coordinator_client.h"

#include <grpcpp/client_context.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <thread>
#include <utility>

#include "core/base/check.h"
#include "runtime/coordinator/network/call_status.h"
#include "runtime/coordinator/network/client_channel.h"
#include "runtime/coordinator/network/coordinator.grpc.pb.h"
#include "runtime/coordinator/network/messages.h"
#include "runtime/coordinator/network/quiet_libraries.h"

namespace hetmoe {
namespace {

using Stub = v1::Coordinator::Stub;

constexpr double kReasonSeconds = 1;

std::chrono::system_clock::time_point after(double seconds) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(
             std::chrono::duration<double>(seconds));
}

/// Cancels a call when nothing comes for a while: a stream has no deadline of its own. A thread and
/// no grpc::Alarm: alarms of one process share threads, and a coordinator in it that hangs would
/// hold up the very alarm that should tell.
class Silence {
 public:
  Silence(grpc::ClientContext& context, double limit_seconds)
      : context_(context),
        limit_(limit_seconds),
        thread_([this](const std::stop_token& stop) { await(stop); }) {}

  void interrupt() {
    const std::lock_guard lock(mutex_);
    interrupted_ = true;
    changed_.notify_all();
  }

  bool is_over() const { return is_over_; }

 private:
  void await(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait_for(lock, stop, limit_, [this] { return interrupted_; })) {
      interrupted_ = false;
    }
    if (stop.stop_requested()) return;
    is_over_ = true;
    context_.TryCancel();
  }

  grpc::ClientContext& context_;
  const std::chrono::duration<double> limit_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool interrupted_ = false;
  std::atomic<bool> is_over_ = false;
  std::jthread thread_;  ///< uses all the others
};

}  // namespace

struct CoordinatorClient::Parts {
  template <typename Request, typename Reply>
  using Method = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Reply*);

  /// A call under way, so that cancel() finds it.
  class Running {
   public:
    explicit Running(Parts& parts)
        : parts_(parts), context_(std::make_unique<grpc::ClientContext>()) {
      if (!parts.authorization.empty()) {
        context_->AddMetadata("authorization", parts.authorization);
      }
      const std::lock_guard lock(parts.mutex);
      if (parts.is_cancelled) {
        throw error_of(grpc::Status(grpc::StatusCode::CANCELLED, ""), parts.address);
      }
      parts.running.insert(context_.get());
    }
    ~Running() {
      const std::lock_guard lock(parts_.mutex);
      parts_.running.erase(context_.get());
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    grpc::ClientContext* context() const { return context_.get(); }

   private:
    Parts& parts_;
    std::unique_ptr<grpc::ClientContext> context_;
  };

  template <typename Request, typename Reply>
  grpc::Status attempt(Method<Request, Reply> method, const Request& request, Reply& reply,
                       double seconds, bool waits) {
    const Running this_call(*this);
    this_call.context()->set_deadline(after(seconds));
    this_call.context()->set_wait_for_ready(waits);
    return (stub.get()->*method)(this_call.context(), request, &reply);
  }

  template <typename Request, typename Reply>
  Reply call(Method<Request, Reply> method, const Request& request, bool waits = false) {
    Reply reply;
    grpc::Status status = attempt(method, request, reply, deadline_seconds, waits);
    // A call that waits for a connection does not learn why there is none; one that does not, does.
    if (waits && status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED &&
        channel->GetState(/*try_to_connect=*/true) != GRPC_CHANNEL_READY) {
      status = attempt(method, request, reply, kReasonSeconds, /*waits=*/false);
    }
    if (!status.ok()) throw error_of(status, address);
    return reply;
  }

  std::string address;
  std::string authorization;
  double deadline_seconds = 0;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<Stub> stub;
  std::mutex mutex;
  bool is_cancelled = false;
  std::set<grpc::ClientContext*> running;
};

CoordinatorClient::CoordinatorClient(std::string address, const ClientCredentials& credentials,
                                     double deadline_seconds)
    : parts_(std::make_unique<Parts>()) {
  HETMOE_CHECK(deadline_seconds > 0, "deadline of ", deadline_seconds, " s");
  silence_libraries();
  parts_->channel = make_channel(address, credentials);
  parts_->stub = v1::Coordinator::NewStub(parts_->channel);
  parts_->address = std::move(address);
  if (!credentials.token.empty()) parts_->authorization = "Bearer " + credentials.token;
  parts_->deadline_seconds = deadline_seconds;
}

CoordinatorClient::~CoordinatorClient() = default;

JoinReply CoordinatorClient::join(const JoinRequest& request) {
  // The one call that may come before the coordinator does.
  return decode(parts_->call(&Stub::Join, encode(request), /*waits=*/true));
}

HeartbeatReply CoordinatorClient::heartbeat(const Heartbeat& heartbeat) {
  return decode(parts_->call(&Stub::Heartbeat, encode(heartbeat)));
}

void CoordinatorClient::report_step(const StepReport& report) {
  parts_->call(&Stub::ReportStep, encode(report));
}

PrepareReply CoordinatorClient::prepare_checkpoint(const PreparedShard& shard) {
  return decode(parts_->call(&Stub::PrepareCheckpoint, encode(shard)));
}

void CoordinatorClient::commit_checkpoint(const CommittedCheckpoint& checkpoint) {
  parts_->call(&Stub::CommitCheckpoint, encode(checkpoint));
}

AcceptedCommand CoordinatorClient::command(CommandKind kind) {
  return decode(parts_->call(&Stub::Command, encode(kind)));
}

CoordinatorStatus CoordinatorClient::status() {
  return decode(parts_->call(&Stub::Status, v1::StatusRequest()));
}

void CoordinatorClient::watch(double seconds,
                              const std::function<bool(const CoordinatorStatus&)>& take) {
  const v1::WatchRequest request = encode_watch(seconds);
  const double limit_seconds = coordinator_limits::kCallSeconds + seconds;
  const Parts::Running running(*parts_);
  const auto reader = parts_->stub->Watch(running.context(), request);
  Silence silence(*running.context(), limit_seconds);
  v1::StatusReply reply;
  while (reader->Read(&reply)) {
    silence.interrupt();
    bool goes_on = false;
    try {
      goes_on = take(decode(reply));
    } catch (...) {
      running.context()->TryCancel();
      reader->Finish();
      throw;
    }
    if (!goes_on) {
      running.context()->TryCancel();
      reader->Finish();
      return;
    }
  }
  const grpc::Status status = reader->Finish();
  if (silence.is_over()) {
    throw error_of(grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, ""), parts_->address);
  }
  if (status.ok()) {
    throw error_of(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the stream of statuses ended"),
                   parts_->address);
  }
  throw error_of(status, parts_->address);
}

void CoordinatorClient::cancel() {
  const std::lock_guard lock(parts_->mutex);
  parts_->is_cancelled = true;
  for (grpc::ClientContext* context : parts_->running) context->TryCancel();
}

}  // namespace hetmoe
