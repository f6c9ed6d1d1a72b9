#pragma once

// Private: shows Protobuf. Domain structs and messages, both ways.
#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/network/coordinator.pb.h"

namespace hetmoe {

// Both ways check what the other side may not send: texts and lists beyond limits.h, texts that are
// not UTF-8, unknown enumerators, messages that are missing. What a value means is checked by who
// answers. Errors: CoordinatorError (kInvalid) that names the field.

v1::JoinRequest encode(const JoinRequest& request);
v1::JoinReply encode(const JoinReply& reply);
v1::HeartbeatRequest encode(const Heartbeat& heartbeat);
v1::HeartbeatReply encode(const HeartbeatReply& reply);
v1::ReportStepRequest encode(const StepReport& report);
v1::PrepareCheckpointRequest encode(const PreparedShard& shard);
v1::PrepareCheckpointReply encode(const PrepareReply& reply);
v1::CommitCheckpointRequest encode(const CommittedCheckpoint& checkpoint);
v1::CommandRequest encode(CommandKind kind);
v1::CommandReply encode(const AcceptedCommand& command);
v1::StatusReply encode(const CoordinatorStatus& status);
v1::WatchRequest encode_watch(double seconds);

JoinRequest decode(const v1::JoinRequest& message);
JoinReply decode(const v1::JoinReply& message);
Heartbeat decode(const v1::HeartbeatRequest& message);
HeartbeatReply decode(const v1::HeartbeatReply& message);
StepReport decode(const v1::ReportStepRequest& message);
PreparedShard decode(const v1::PrepareCheckpointRequest& message);
PrepareReply decode(const v1::PrepareCheckpointReply& message);
CommittedCheckpoint decode(const v1::CommitCheckpointRequest& message);
CommandKind decode(const v1::CommandRequest& message);
AcceptedCommand decode(const v1::CommandReply& message);
CoordinatorStatus decode(const v1::StatusReply& message);
/// Seconds between two, in 0.2 to 60.
double decode(const v1::WatchRequest& message);

}  // namespace hetmoe
