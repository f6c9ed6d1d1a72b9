#include "runtime/coordinator/network/messages.h"

#include <utility>

#include "core/base/check.h"
#include "runtime/coordinator/limits.h"
#include "runtime/coordinator/network/message_fields.h"

namespace hetmoe {
namespace {

namespace fields = message_fields;
using fields::checked_text;

constexpr double kShortestWatchSeconds = 0.2;
constexpr double kLongestWatchSeconds = 60;

double checked_watch_seconds(double seconds) {
  if (seconds >= kShortestWatchSeconds && seconds <= kLongestWatchSeconds) return seconds;
  throw CoordinatorError(CoordinatorFault::kInvalid,
                         detail::concatenate("seconds: ", seconds, ", allowed is ",
                                             kShortestWatchSeconds, " to ", kLongestWatchSeconds));
}

template <typename Message>
Member member_of(const Message& message) {
  fields::check_present(message.has_member(), "member");
  return fields::decode(message.member());
}

}  // namespace

v1::JoinRequest encode(const JoinRequest& request) {
  v1::JoinRequest out;
  fields::encode(request.member, *out.mutable_member());
  out.set_ranks(request.ranks);
  out.set_host(checked_text(request.host, "host"));
  out.set_process(request.process);
  out.set_metrics_address(checked_text(request.metrics_address, "metrics_address"));
  out.set_metrics_use_tls(request.metrics_use_tls);
  return out;
}

JoinRequest decode(const v1::JoinRequest& message) {
  return {.member = member_of(message),
          .ranks = message.ranks(),
          .host = checked_text(message.host(), "host"),
          .process = message.process(),
          .metrics_address = checked_text(message.metrics_address(), "metrics_address"),
          .metrics_use_tls = message.metrics_use_tls()};
}

v1::JoinReply encode(const JoinReply& reply) {
  v1::JoinReply out;
  out.set_generation(reply.generation);
  return out;
}

JoinReply decode(const v1::JoinReply& message) { return {.generation = message.generation()}; }

v1::HeartbeatRequest encode(const Heartbeat& heartbeat) {
  v1::HeartbeatRequest out;
  fields::encode(heartbeat.member, *out.mutable_member());
  fields::encode(heartbeat, out);
  return out;
}

Heartbeat decode(const v1::HeartbeatRequest& message) {
  Member member = member_of(message);
  Heartbeat heartbeat = fields::decode_body(message);
  heartbeat.member = std::move(member);
  return heartbeat;
}

v1::HeartbeatReply encode(const HeartbeatReply& reply) {
  fields::check_count(reply.commands.size(), coordinator_limits::kOpenCommands, "commands");
  v1::HeartbeatReply out;
  for (const AcceptedCommand& command : reply.commands) {
    fields::encode(command, *out.add_commands());
  }
  return out;
}

HeartbeatReply decode(const v1::HeartbeatReply& message) {
  fields::check_count(message.commands().size(), coordinator_limits::kOpenCommands, "commands");
  HeartbeatReply reply;
  for (const v1::AcceptedCommand& command : message.commands()) {
    reply.commands.push_back(fields::decode(command));
  }
  return reply;
}

v1::ReportStepRequest encode(const StepReport& report) {
  v1::ReportStepRequest out;
  fields::encode(report.member, *out.mutable_member());
  fields::encode(report.record, *out.mutable_record());
  fields::encode(report.progress, *out.mutable_progress());
  return out;
}

StepReport decode(const v1::ReportStepRequest& message) {
  fields::check_present(message.has_record(), "record");
  return {.member = member_of(message),
          .record = fields::decode(message.record()),
          .progress = fields::decode(message.progress())};
}

v1::PrepareCheckpointRequest encode(const PreparedShard& shard) {
  fields::check_count(shard.files.size(), coordinator_limits::kFilesOfShard, "files");
  v1::PrepareCheckpointRequest out;
  fields::encode(shard.member, *out.mutable_member());
  out.set_step(shard.step);
  out.set_configuration_digest(checked_text(shard.configuration_digest, "configuration_digest"));
  for (const PreparedFile& file : shard.files) {
    v1::PreparedFile& one = *out.add_files();
    one.set_name(checked_text(file.name, "files.name"));
    one.set_bytes(file.bytes);
    one.set_digest(checked_text(file.digest, "files.digest"));
  }
  return out;
}

PreparedShard decode(const v1::PrepareCheckpointRequest& message) {
  fields::check_count(message.files().size(), coordinator_limits::kFilesOfShard, "files");
  PreparedShard shard = {
      .member = member_of(message),
      .step = message.step(),
      .configuration_digest = checked_text(message.configuration_digest(), "configuration_digest"),
      .files = {}};
  for (const v1::PreparedFile& file : message.files()) {
    shard.files.push_back({.name = checked_text(file.name(), "files.name"),
                           .bytes = file.bytes(),
                           .digest = checked_text(file.digest(), "files.digest")});
  }
  return shard;
}

v1::PrepareCheckpointReply encode(const PrepareReply& reply) {
  v1::PrepareCheckpointReply out;
  out.set_agreed(reply.agreed);
  out.set_prepared_ranks(reply.prepared_ranks);
  return out;
}

PrepareReply decode(const v1::PrepareCheckpointReply& message) {
  return {.agreed = message.agreed(), .prepared_ranks = message.prepared_ranks()};
}

v1::CommitCheckpointRequest encode(const CommittedCheckpoint& checkpoint) {
  v1::CommitCheckpointRequest out;
  fields::encode(checkpoint.member, *out.mutable_member());
  fields::encode(checkpoint, out);
  return out;
}

CommittedCheckpoint decode(const v1::CommitCheckpointRequest& message) {
  Member member = member_of(message);
  CommittedCheckpoint checkpoint = fields::decode_body(message);
  checkpoint.member = std::move(member);
  return checkpoint;
}

v1::CommandRequest encode(CommandKind kind) {
  v1::CommandRequest out;
  out.set_kind(fields::encode_kind(kind));
  return out;
}

CommandKind decode(const v1::CommandRequest& message) {
  return fields::decode_kind(message.kind());
}

v1::CommandReply encode(const AcceptedCommand& command) {
  v1::CommandReply out;
  fields::encode(command, *out.mutable_command());
  return out;
}

AcceptedCommand decode(const v1::CommandReply& message) {
  fields::check_present(message.has_command(), "command");
  return fields::decode(message.command());
}

v1::WatchRequest encode_watch(double seconds) {
  v1::WatchRequest out;
  out.set_seconds(checked_watch_seconds(seconds));
  return out;
}

double decode(const v1::WatchRequest& message) { return checked_watch_seconds(message.seconds()); }

}  // namespace hetmoe
