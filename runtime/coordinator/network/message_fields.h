#pragma once

// Private: shows Protobuf. The parts that several messages share, and the checks of single fields.
#include <cstddef>
#include <cstdint>
#include <string>

#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/network/coordinator.pb.h"

namespace hetmoe::message_fields {

/// Gives `value` back. Errors: CoordinatorError (kInvalid), as of all here.
const std::string& checked_text(const std::string& value, const char* field);
void check_count(std::size_t count, std::size_t largest, const char* field);
void check_present(bool is_there, const char* field);
/// Within [low, high].
int checked_integer(std::int64_t value, std::int64_t low, std::int64_t high, const char* field);

void encode(const Member& member, v1::Member& out);
void encode(const AcceptedCommand& command, v1::AcceptedCommand& out);
void encode(const StepRecord& record, v1::StepRecord& out);
void encode(const RunProgress& progress, v1::RunProgress& out);
/// All but the member.
void encode(const Heartbeat& heartbeat, v1::HeartbeatRequest& out);
void encode(const CommittedCheckpoint& checkpoint, v1::CommitCheckpointRequest& out);
v1::CommandKind encode_kind(CommandKind kind);

Member decode(const v1::Member& message);
AcceptedCommand decode(const v1::AcceptedCommand& message);
StepRecord decode(const v1::StepRecord& message);
RunProgress decode(const v1::RunProgress& message);
/// All but the member.
Heartbeat decode_body(const v1::HeartbeatRequest& message);
CommittedCheckpoint decode_body(const v1::CommitCheckpointRequest& message);
CommandKind decode_kind(v1::CommandKind kind);

}  // namespace hetmoe::message_fields
