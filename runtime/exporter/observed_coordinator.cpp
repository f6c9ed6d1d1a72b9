#include "runtime/exporter/observed_coordinator.h"

namespace hetmoe {
namespace {

const char* name_of(CoordinatorFault fault) {
  switch (fault) {
    case CoordinatorFault::kUnreachable:
      return "unreachable";
    case CoordinatorFault::kUnauthenticated:
      return "unauthenticated";
    case CoordinatorFault::kInvalid:
      return "invalid";
    case CoordinatorFault::kStale:
      return "stale";
    case CoordinatorFault::kNotJoined:
      return "not_joined";
  }
  return "unknown";
}

}  // namespace

template <typename Call>
auto ObservedCoordinator::counted(const char* name, Call call) {
  try {
    const auto reply = call();
    series_.called(name, "ok");
    return reply;
  } catch (const CoordinatorError& error) {
    series_.called(name, name_of(error.fault()));
    throw;
  } catch (...) {
    series_.called(name, "storage");  // the journal's disk
    throw;
  }
}

JoinReply ObservedCoordinator::join(const JoinRequest& request) {
  return counted("join", [&] { return inner_.join(request); });
}

HeartbeatReply ObservedCoordinator::heartbeat(const Heartbeat& heartbeat) {
  return counted("heartbeat", [&] { return inner_.heartbeat(heartbeat); });
}

void ObservedCoordinator::report_step(const StepReport& report) {
  counted("report_step", [&] {
    inner_.report_step(report);
    return true;
  });
  series_.report(report);
}

PrepareReply ObservedCoordinator::prepare_checkpoint(const PreparedShard& shard) {
  return counted("prepare_checkpoint", [&] { return inner_.prepare_checkpoint(shard); });
}

void ObservedCoordinator::commit_checkpoint(const CommittedCheckpoint& checkpoint) {
  counted("commit_checkpoint", [&] {
    inner_.commit_checkpoint(checkpoint);
    return true;
  });
  series_.committed(checkpoint);
}

AcceptedCommand ObservedCoordinator::command(CommandKind kind) {
  const AcceptedCommand accepted = counted("command", [&] { return inner_.command(kind); });
  series_.commanded(kind);
  return accepted;
}

/// Not counted: every scrape asks.
CoordinatorStatus ObservedCoordinator::status() { return inner_.status(); }

}  // namespace hetmoe
