#pragma once

// Private: shows gRPC.
#include <string>

#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/network/coordinator.grpc.pb.h"
#include "runtime/coordinator/network/watch_streams.h"

namespace hetmoe {

/// Messages in, domain calls, messages out. A call is answered on gRPC's thread: the coordinator is
/// quick.
class CoordinatorService final : public v1::Coordinator::CallbackService {
 public:
  /// The coordinator must outlive this.
  CoordinatorService(Coordinator& coordinator, const std::string& token);

  /// Before the server shuts down: it would wait for them.
  void end_watches() { watches_.end(); }

  grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* context,
                                 const v1::JoinRequest* request, v1::JoinReply* reply) override;
  grpc::ServerUnaryReactor* Heartbeat(grpc::CallbackServerContext* context,
                                      const v1::HeartbeatRequest* request,
                                      v1::HeartbeatReply* reply) override;
  grpc::ServerUnaryReactor* ReportStep(grpc::CallbackServerContext* context,
                                       const v1::ReportStepRequest* request,
                                       v1::ReportStepReply* reply) override;
  grpc::ServerUnaryReactor* PrepareCheckpoint(grpc::CallbackServerContext* context,
                                              const v1::PrepareCheckpointRequest* request,
                                              v1::PrepareCheckpointReply* reply) override;
  grpc::ServerUnaryReactor* CommitCheckpoint(grpc::CallbackServerContext* context,
                                             const v1::CommitCheckpointRequest* request,
                                             v1::CommitCheckpointReply* reply) override;
  grpc::ServerUnaryReactor* Command(grpc::CallbackServerContext* context,
                                    const v1::CommandRequest* request,
                                    v1::CommandReply* reply) override;
  grpc::ServerUnaryReactor* Status(grpc::CallbackServerContext* context,
                                   const v1::StatusRequest* request,
                                   v1::StatusReply* reply) override;
  grpc::ServerWriteReactor<v1::StatusReply>* Watch(grpc::CallbackServerContext* context,
                                                   const v1::WatchRequest* request) override;

 private:
  /// Errors: CoordinatorError (kUnauthenticated).
  void check_caller(const grpc::CallbackServerContext& context) const;
  /// The caller's token, then `work`, which fills the reply.
  template <typename Work>
  grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext* context, const Work& work) const;

  Coordinator& coordinator_;
  const std::string authorization_;  ///< that every call must bear; empty: none
  WatchStreams watches_;
};

}  // namespace hetmoe
