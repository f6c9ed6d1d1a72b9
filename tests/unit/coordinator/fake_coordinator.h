#pragma once

#include <atomic>
#include <functional>

#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

/// Remembers what it was asked and answers what it was told to.
class FakeCoordinator final : public Coordinator {
 public:
  JoinReply join(const JoinRequest& request) override {
    before_answer();
    asked_join = request;
    return join_reply;
  }
  HeartbeatReply heartbeat(const Heartbeat& heartbeat) override {
    before_answer();
    asked_heartbeat = heartbeat;
    return heartbeat_reply;
  }
  void report_step(const StepReport& report) override {
    before_answer();
    asked_step = report;
  }
  PrepareReply prepare_checkpoint(const PreparedShard& shard) override {
    before_answer();
    asked_shard = shard;
    return prepare_reply;
  }
  void commit_checkpoint(const CommittedCheckpoint& checkpoint) override {
    before_answer();
    asked_commit = checkpoint;
  }
  AcceptedCommand command(CommandKind kind) override {
    before_answer();
    asked_command = kind;
    return {.number = 7, .kind = kind, .executed_step = 0};
  }
  CoordinatorStatus status() override {
    before_answer();
    return status_reply;
  }

  std::function<void()> work;  ///< done in each call; may throw
  std::atomic<int> calls = 0;
  JoinRequest asked_join;
  JoinReply join_reply;
  Heartbeat asked_heartbeat;
  HeartbeatReply heartbeat_reply;
  StepReport asked_step;
  PreparedShard asked_shard;
  PrepareReply prepare_reply;
  CommittedCheckpoint asked_commit;
  CommandKind asked_command = CommandKind::kSave;
  CoordinatorStatus status_reply;

 private:
  void before_answer() {
    ++calls;
    if (work) work();
  }
};

}  // namespace hetmoe
