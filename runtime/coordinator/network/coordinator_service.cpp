#include "runtime/coordinator/network/coordinator_service.h"

#include <string_view>

#include "runtime/coordinator/network/call_status.h"
#include "runtime/coordinator/network/credentials.h"
#include "runtime/coordinator/network/messages.h"

namespace hetmoe {
namespace {

/// What `work` throws, as the status of the call.
template <typename Work>
grpc::Status status_after(const Work& work) {
  try {
    work();
    return grpc::Status::OK;
  } catch (const std::exception& error) {
    return status_of(error);
  } catch (...) {
    return {grpc::StatusCode::INTERNAL, "internal error: an exception without a text"};
  }
}

}  // namespace

CoordinatorService::CoordinatorService(Coordinator& coordinator, const std::string& token)
    : coordinator_(coordinator),
      authorization_(token.empty() ? "" : "Bearer " + token),
      watches_(coordinator) {}

void CoordinatorService::check_caller(const grpc::CallbackServerContext& context) const {
  if (authorization_.empty()) return;
  const auto found = context.client_metadata().find("authorization");
  if (found == context.client_metadata().end()) {
    throw CoordinatorError(CoordinatorFault::kUnauthenticated,
                           "no token was given, allowed is that of the run's coordinator.json");
  }
  if (!same_secret(std::string_view(found->second.data(), found->second.size()), authorization_)) {
    throw CoordinatorError(CoordinatorFault::kUnauthenticated,
                           "wrong token, allowed is that of the run's coordinator.json");
  }
}

template <typename Work>
grpc::ServerUnaryReactor* CoordinatorService::answer(grpc::CallbackServerContext* context,
                                                     const Work& work) const {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(status_after([&] {
    check_caller(*context);
    work();
  }));
  return reactor;
}

grpc::ServerUnaryReactor* CoordinatorService::Join(grpc::CallbackServerContext* context,
                                                   const v1::JoinRequest* request,
                                                   v1::JoinReply* reply) {
  return answer(context, [&] { *reply = encode(coordinator_.join(decode(*request))); });
}

grpc::ServerUnaryReactor* CoordinatorService::Heartbeat(grpc::CallbackServerContext* context,
                                                        const v1::HeartbeatRequest* request,
                                                        v1::HeartbeatReply* reply) {
  return answer(context, [&] { *reply = encode(coordinator_.heartbeat(decode(*request))); });
}

grpc::ServerUnaryReactor* CoordinatorService::ReportStep(grpc::CallbackServerContext* context,
                                                         const v1::ReportStepRequest* request,
                                                         v1::ReportStepReply*) {
  return answer(context, [&] { coordinator_.report_step(decode(*request)); });
}

grpc::ServerUnaryReactor* CoordinatorService::PrepareCheckpoint(
    grpc::CallbackServerContext* context, const v1::PrepareCheckpointRequest* request,
    v1::PrepareCheckpointReply* reply) {
  return answer(context,
                [&] { *reply = encode(coordinator_.prepare_checkpoint(decode(*request))); });
}

grpc::ServerUnaryReactor* CoordinatorService::CommitCheckpoint(
    grpc::CallbackServerContext* context, const v1::CommitCheckpointRequest* request,
    v1::CommitCheckpointReply*) {
  return answer(context, [&] { coordinator_.commit_checkpoint(decode(*request)); });
}

grpc::ServerUnaryReactor* CoordinatorService::Command(grpc::CallbackServerContext* context,
                                                      const v1::CommandRequest* request,
                                                      v1::CommandReply* reply) {
  return answer(context, [&] { *reply = encode(coordinator_.command(decode(*request))); });
}

grpc::ServerUnaryReactor* CoordinatorService::Status(grpc::CallbackServerContext* context,
                                                     const v1::StatusRequest*,
                                                     v1::StatusReply* reply) {
  return answer(context, [&] { *reply = encode(coordinator_.status()); });
}

grpc::ServerWriteReactor<v1::StatusReply>* CoordinatorService::Watch(
    grpc::CallbackServerContext* context, const v1::WatchRequest* request) {
  double interval_seconds = 0;
  const grpc::Status status = status_after([&] {
    check_caller(*context);
    interval_seconds = decode(*request);
  });
  return status.ok() ? watches_.open(interval_seconds) : refused_watch(status);
}

}  // namespace hetmoe
