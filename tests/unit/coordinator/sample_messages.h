#pragma once

#include <vector>

#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

// Every field has a value of its own, so that two that are exchanged show.
JoinRequest sample_join();
Heartbeat sample_heartbeat();
StepReport sample_step();
PreparedShard sample_shard();
CommittedCheckpoint sample_commit();
std::vector<AcceptedCommand> sample_commands();
/// Two ranks.
CoordinatorStatus sample_status();

// Field by field.
void expect_same(const JoinRequest& one, const JoinRequest& other);
void expect_same(const Heartbeat& one, const Heartbeat& other);
void expect_same(const StepReport& one, const StepReport& other);
void expect_same(const PreparedShard& one, const PreparedShard& other);
void expect_same(const CommittedCheckpoint& one, const CommittedCheckpoint& other);
void expect_same(const std::vector<AcceptedCommand>& one,
                 const std::vector<AcceptedCommand>& other);
void expect_same(const CoordinatorStatus& one, const CoordinatorStatus& other);

}  // namespace hetmoe
