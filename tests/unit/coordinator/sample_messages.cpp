#include "tests/unit/coordinator/sample_messages.h"

#include <gtest/gtest.h>

namespace hetmoe {
namespace {

const Member kMember = {.run = "tiny-\xC3\xA4", .generation = 3, .rank = 1};
const char* const kDigest = "xxh3-128:0123456789abcdef0123456789abcdef";

StepRecord sample_record() {
  return {.step = 11,
          .tokens = 12'000'000'000'000,
          .loss = 1.5,
          .parameter_penalty = 2.5,
          .load_balance = 3.5,
          .router_entropy = 4.5,
          .grad_norm = 5.5,
          .learning_rate = 1e-3,
          .skipped = 2,
          .step_seconds = 0.25,
          .tokens_per_second = 1000.5,
          .model_flops_per_second = 1e12,
          .phase_seconds = {.data = 0.1,
                            .forward = 0.2,
                            .dispatch_wait = 0.3,
                            .expert = 0.4,
                            .combine_wait = 0.5,
                            .backward = 0.6,
                            .gradients = 0.7,
                            .optimizer = 0.8,
                            .parameters = 0.9,
                            .other = 1.1},
          .flops_max_over_mean = 1.25,
          .bytes = {.dispatch = 20,
                    .combine = 21,
                    .gradients = 22,
                    .parameters = 23,
                    .parameters_hidden = 24,
                    .other_node = 25},
          .generation = 3,
          .layer_flops_max_over_mean = {1.5, 1.25},
          .expert_tokens = {7, 0, 9},
          .memory_bytes = 1 << 30,
          .device_memory_bytes = 3LL << 30};
}

void expect_same(const Member& one, const Member& other) {
  EXPECT_EQ(one.run, other.run);
  EXPECT_EQ(one.generation, other.generation);
  EXPECT_EQ(one.rank, other.rank);
}

void expect_same(const PhaseSeconds& one, const PhaseSeconds& other) {
  EXPECT_EQ(one.data, other.data);
  EXPECT_EQ(one.forward, other.forward);
  EXPECT_EQ(one.dispatch_wait, other.dispatch_wait);
  EXPECT_EQ(one.expert, other.expert);
  EXPECT_EQ(one.combine_wait, other.combine_wait);
  EXPECT_EQ(one.backward, other.backward);
  EXPECT_EQ(one.gradients, other.gradients);
  EXPECT_EQ(one.optimizer, other.optimizer);
  EXPECT_EQ(one.parameters, other.parameters);
  EXPECT_EQ(one.other, other.other);
}

void expect_same(const StepRecord& one, const StepRecord& other) {
  EXPECT_EQ(one.step, other.step);
  EXPECT_EQ(one.tokens, other.tokens);
  EXPECT_EQ(one.loss, other.loss);
  EXPECT_EQ(one.parameter_penalty, other.parameter_penalty);
  EXPECT_EQ(one.load_balance, other.load_balance);
  EXPECT_EQ(one.router_entropy, other.router_entropy);
  EXPECT_EQ(one.grad_norm, other.grad_norm);
  EXPECT_EQ(one.learning_rate, other.learning_rate);
  EXPECT_EQ(one.skipped, other.skipped);
  EXPECT_EQ(one.step_seconds, other.step_seconds);
  EXPECT_EQ(one.tokens_per_second, other.tokens_per_second);
  EXPECT_EQ(one.model_flops_per_second, other.model_flops_per_second);
  expect_same(one.phase_seconds, other.phase_seconds);
  EXPECT_EQ(one.flops_max_over_mean, other.flops_max_over_mean);
  EXPECT_EQ(one.bytes.dispatch, other.bytes.dispatch);
  EXPECT_EQ(one.bytes.combine, other.bytes.combine);
  EXPECT_EQ(one.bytes.gradients, other.bytes.gradients);
  EXPECT_EQ(one.bytes.parameters, other.bytes.parameters);
  EXPECT_EQ(one.bytes.parameters_hidden, other.bytes.parameters_hidden);
  EXPECT_EQ(one.bytes.other_node, other.bytes.other_node);
  EXPECT_EQ(one.generation, other.generation);
  EXPECT_EQ(one.layer_flops_max_over_mean, other.layer_flops_max_over_mean);
  EXPECT_EQ(one.expert_tokens, other.expert_tokens);
  EXPECT_EQ(one.memory_bytes, other.memory_bytes);
  EXPECT_EQ(one.device_memory_bytes, other.device_memory_bytes);
}

void expect_same(const RunProgress& one, const RunProgress& other) {
  EXPECT_EQ(one.planned_steps, other.planned_steps);
  EXPECT_EQ(one.productive_seconds, other.productive_seconds);
  EXPECT_EQ(one.elapsed_seconds, other.elapsed_seconds);
  EXPECT_EQ(one.rebalances, other.rebalances);
  EXPECT_EQ(one.predicted_gain_seconds, other.predicted_gain_seconds);
  EXPECT_EQ(one.measured_gain_seconds, other.measured_gain_seconds);
  EXPECT_EQ(one.predicted_expert_seconds, other.predicted_expert_seconds);
  EXPECT_EQ(one.failed_saves, other.failed_saves);
  EXPECT_EQ(one.save_blocked_seconds, other.save_blocked_seconds);
  EXPECT_EQ(one.checkpoint_every_steps, other.checkpoint_every_steps);
  EXPECT_EQ(one.peak_flops_per_second, other.peak_flops_per_second);
  EXPECT_EQ(one.expert_widths, other.expert_widths);
}

void expect_same(const RankStatus& one, const RankStatus& other) {
  EXPECT_EQ(one.rank, other.rank);
  EXPECT_EQ(one.joined, other.joined);
  EXPECT_EQ(one.host, other.host);
  EXPECT_EQ(one.process, other.process);
  EXPECT_EQ(one.metrics_address, other.metrics_address);
  EXPECT_EQ(one.metrics_use_tls, other.metrics_use_tls);
  EXPECT_EQ(one.silent_seconds, other.silent_seconds);
  expect_same(one.last, other.last);
}

}  // namespace

JoinRequest sample_join() {
  return {.member = kMember,
          .ranks = 4,
          .host = "node-7",
          .process = 5'000'000'000,
          .metrics_address = "node-7:9400",
          .metrics_use_tls = true};
}

Heartbeat sample_heartbeat() {
  return {.member = kMember,
          .step = 41,
          .phase = "training",
          .collective_sequence = 6'000'000'000,
          .collective = "all_to_all",
          .step_seconds = 0.5,
          .expert_flops = 2e12,
          .wait_seconds = 0.125,
          .memory_bytes = 7'000'000'000,
          .device_memory_bytes = 9'000'000'000,
          .executed_command = 9,
          .executed_step = 40};
}

StepReport sample_step() {
  return {.member = kMember,
          .record = sample_record(),
          .progress = {.planned_steps = 1000,
                       .productive_seconds = 2.75,
                       .elapsed_seconds = 11.5,
                       .rebalances = 3,
                       .predicted_gain_seconds = -0.5,
                       .measured_gain_seconds = 0.75,
                       .predicted_expert_seconds = 0.375,
                       .failed_saves = 4,
                       .save_blocked_seconds = 1.25,
                       .checkpoint_every_steps = 500,
                       .peak_flops_per_second = 3e12,
                       .expert_widths = {72, 88, 104}}};
}

PreparedShard sample_shard() {
  return {.member = kMember,
          .step = 100,
          .configuration_digest = "xxh3-128:ffffffffffffffffffffffffffffffff",
          .files = {{.name = "rank-1.safetensors", .bytes = 8'000'000'000, .digest = kDigest},
                    {.name = "extra.safetensors", .bytes = 2, .digest = kDigest}}};
}

CommittedCheckpoint sample_commit() {
  return {.member = kMember, .step = 100, .bytes = 9, .seconds = 1.75, .wall_seconds = 1.7e9};
}

std::vector<AcceptedCommand> sample_commands() {
  return {{.number = 1, .kind = CommandKind::kRebalance, .executed_step = 17},
          {.number = 2, .kind = CommandKind::kStop, .executed_step = 0}};
}

CoordinatorStatus sample_status() {
  CoordinatorStatus status;
  status.run = "tiny";
  status.generation = 3;
  status.ranks = 2;
  status.uptime_seconds = 99.5;
  status.last_step = sample_record();
  status.members = {{.rank = 0,
                     .joined = true,
                     .host = "node-6",
                     .process = 11,
                     .metrics_address = "node-6:1",
                     .metrics_use_tls = true,
                     .silent_seconds = 0.5,
                     .last = sample_heartbeat()},
                    {.rank = 1}};
  status.members[0].last.member = {};
  status.silent_ranks = {1};
  status.behind_ranks = {0, 1};
  status.prepared_step = 100;
  status.prepared_ranks = 1;
  status.committed = sample_commit();
  status.committed.member = {};
  status.commands = sample_commands();
  return status;
}

void expect_same(const JoinRequest& one, const JoinRequest& other) {
  expect_same(one.member, other.member);
  EXPECT_EQ(one.ranks, other.ranks);
  EXPECT_EQ(one.host, other.host);
  EXPECT_EQ(one.process, other.process);
  EXPECT_EQ(one.metrics_address, other.metrics_address);
  EXPECT_EQ(one.metrics_use_tls, other.metrics_use_tls);
}

void expect_same(const Heartbeat& one, const Heartbeat& other) {
  expect_same(one.member, other.member);
  EXPECT_EQ(one.step, other.step);
  EXPECT_EQ(one.phase, other.phase);
  EXPECT_EQ(one.collective_sequence, other.collective_sequence);
  EXPECT_EQ(one.collective, other.collective);
  EXPECT_EQ(one.step_seconds, other.step_seconds);
  EXPECT_EQ(one.expert_flops, other.expert_flops);
  EXPECT_EQ(one.wait_seconds, other.wait_seconds);
  EXPECT_EQ(one.memory_bytes, other.memory_bytes);
  EXPECT_EQ(one.device_memory_bytes, other.device_memory_bytes);
  EXPECT_EQ(one.executed_command, other.executed_command);
  EXPECT_EQ(one.executed_step, other.executed_step);
}

void expect_same(const StepReport& one, const StepReport& other) {
  expect_same(one.member, other.member);
  expect_same(one.record, other.record);
  expect_same(one.progress, other.progress);
}

void expect_same(const PreparedShard& one, const PreparedShard& other) {
  expect_same(one.member, other.member);
  EXPECT_EQ(one.step, other.step);
  EXPECT_EQ(one.configuration_digest, other.configuration_digest);
  ASSERT_EQ(one.files.size(), other.files.size());
  for (std::size_t i = 0; i < one.files.size(); ++i) {
    EXPECT_EQ(one.files[i].name, other.files[i].name);
    EXPECT_EQ(one.files[i].bytes, other.files[i].bytes);
    EXPECT_EQ(one.files[i].digest, other.files[i].digest);
  }
}

void expect_same(const CommittedCheckpoint& one, const CommittedCheckpoint& other) {
  expect_same(one.member, other.member);
  EXPECT_EQ(one.step, other.step);
  EXPECT_EQ(one.bytes, other.bytes);
  EXPECT_EQ(one.seconds, other.seconds);
  EXPECT_EQ(one.wall_seconds, other.wall_seconds);
}

void expect_same(const std::vector<AcceptedCommand>& one,
                 const std::vector<AcceptedCommand>& other) {
  ASSERT_EQ(one.size(), other.size());
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].number, other[i].number);
    EXPECT_EQ(one[i].kind, other[i].kind);
    EXPECT_EQ(one[i].executed_step, other[i].executed_step);
  }
}

void expect_same(const CoordinatorStatus& one, const CoordinatorStatus& other) {
  EXPECT_EQ(one.run, other.run);
  EXPECT_EQ(one.generation, other.generation);
  EXPECT_EQ(one.ranks, other.ranks);
  EXPECT_EQ(one.uptime_seconds, other.uptime_seconds);
  expect_same(one.last_step, other.last_step);
  ASSERT_EQ(one.members.size(), other.members.size());
  for (std::size_t i = 0; i < one.members.size(); ++i) {
    expect_same(one.members[i], other.members[i]);
  }
  EXPECT_EQ(one.silent_ranks, other.silent_ranks);
  EXPECT_EQ(one.behind_ranks, other.behind_ranks);
  EXPECT_EQ(one.prepared_step, other.prepared_step);
  EXPECT_EQ(one.prepared_ranks, other.prepared_ranks);
  expect_same(one.committed, other.committed);
  expect_same(one.commands, other.commands);
}

}  // namespace hetmoe
