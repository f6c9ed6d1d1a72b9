#include "runtime/coordinator/network/message_fields.h"

#include "core/base/check.h"
#include "core/data/utf8.h"
#include "runtime/coordinator/limits.h"

namespace hetmoe::message_fields {
namespace {

[[noreturn]] void refuse(const char* field, const std::string& fault) {
  throw CoordinatorError(CoordinatorFault::kInvalid, std::string(field) + ": " + fault);
}

void encode_phases(const PhaseSeconds& seconds, v1::PhaseSeconds& out) {
  out.set_data(seconds.data);
  out.set_forward(seconds.forward);
  out.set_dispatch_wait(seconds.dispatch_wait);
  out.set_expert(seconds.expert);
  out.set_combine_wait(seconds.combine_wait);
  out.set_backward(seconds.backward);
  out.set_gradients(seconds.gradients);
  out.set_optimizer(seconds.optimizer);
  out.set_parameters(seconds.parameters);
  out.set_other(seconds.other);
}

PhaseSeconds decode_phases(const v1::PhaseSeconds& message) {
  return {.data = message.data(),
          .forward = message.forward(),
          .dispatch_wait = message.dispatch_wait(),
          .expert = message.expert(),
          .combine_wait = message.combine_wait(),
          .backward = message.backward(),
          .gradients = message.gradients(),
          .optimizer = message.optimizer(),
          .parameters = message.parameters(),
          .other = message.other()};
}

}  // namespace

const std::string& checked_text(const std::string& value, const char* field) {
  if (value.size() > coordinator_limits::kNameBytes) {
    refuse(field, detail::concatenate(value.size(), " bytes, allowed are up to ",
                                      coordinator_limits::kNameBytes));
  }
  const std::size_t fault = first_invalid_utf8(value);
  if (fault != value.size()) {
    refuse(field, detail::concatenate("not UTF-8 at its byte ", fault + 1));
  }
  return value;
}

void check_count(std::size_t count, std::size_t largest, const char* field) {
  if (count <= largest) return;
  refuse(field, detail::concatenate(count, " of them, allowed are up to ", largest));
}

void check_present(bool is_there, const char* field) {
  if (!is_there) refuse(field, "missing");
}

int checked_integer(std::int64_t value, std::int64_t low, std::int64_t high, const char* field) {
  if (value < low || value > high) {
    refuse(field, detail::concatenate(value, ", allowed is ", low, " to ", high));
  }
  return static_cast<int>(value);
}

void encode(const Member& member, v1::Member& out) {
  out.set_run(checked_text(member.run, "member.run"));
  out.set_generation(member.generation);
  out.set_rank(member.rank);
}

Member decode(const v1::Member& message) {
  return {.run = checked_text(message.run(), "member.run"),
          .generation = message.generation(),
          .rank = message.rank()};
}

v1::CommandKind encode_kind(CommandKind kind) {
  switch (kind) {
    case CommandKind::kSave:
      return v1::COMMAND_KIND_SAVE;
    case CommandKind::kStop:
      return v1::COMMAND_KIND_STOP;
    case CommandKind::kStopAndRequeue:
      return v1::COMMAND_KIND_STOP_AND_REQUEUE;
    case CommandKind::kRebalance:
      return v1::COMMAND_KIND_REBALANCE;
  }
  HETMOE_CHECK(false, "no such command: ", static_cast<int>(kind));
  return v1::COMMAND_KIND_UNSPECIFIED;
}

CommandKind decode_kind(v1::CommandKind kind) {
  std::string names;
  for (const CommandKind known : kCommandKinds) {
    if (encode_kind(known) == kind) return known;
    names += (names.empty() ? "" : ", ") + std::string(command_name(known));
  }
  refuse("kind",
         detail::concatenate("unknown command ", static_cast<int>(kind), ", allowed are ", names));
}

void encode(const AcceptedCommand& command, v1::AcceptedCommand& out) {
  out.set_number(command.number);
  out.set_kind(encode_kind(command.kind));
  out.set_executed_step(command.executed_step);
}

AcceptedCommand decode(const v1::AcceptedCommand& message) {
  return {.number = message.number(),
          .kind = decode_kind(message.kind()),
          .executed_step = message.executed_step()};
}

void encode(const StepRecord& record, v1::StepRecord& out) {
  out.set_step(record.step);
  out.set_tokens(record.tokens);
  out.set_loss(record.loss);
  out.set_parameter_penalty(record.parameter_penalty);
  out.set_load_balance(record.load_balance);
  out.set_router_entropy(record.router_entropy);
  out.set_grad_norm(record.grad_norm);
  out.set_learning_rate(record.learning_rate);
  out.set_skipped(record.skipped);
  out.set_step_seconds(record.step_seconds);
  out.set_tokens_per_second(record.tokens_per_second);
  out.set_model_flops_per_second(record.model_flops_per_second);
  encode_phases(record.phase_seconds, *out.mutable_phase_seconds());
  out.set_flops_max_over_mean(record.flops_max_over_mean);
  out.set_bytes_dispatch(record.bytes.dispatch);
  out.set_bytes_combine(record.bytes.combine);
  out.set_bytes_gradients(record.bytes.gradients);
  out.set_bytes_parameters(record.bytes.parameters);
  out.set_bytes_parameters_hidden(record.bytes.parameters_hidden);
  out.set_bytes_other_node(record.bytes.other_node);
  out.set_generation(record.generation);
  const std::vector<double>& layers = record.layer_flops_max_over_mean;
  check_count(layers.size(), coordinator_limits::kLayers, "record.layer_flops_max_over_mean");
  out.mutable_layer_flops_max_over_mean()->Assign(layers.begin(), layers.end());
  const std::vector<std::int64_t>& tokens = record.expert_tokens;
  check_count(tokens.size(), coordinator_limits::kExperts, "record.expert_tokens");
  out.mutable_expert_tokens()->Assign(tokens.begin(), tokens.end());
  out.set_memory_bytes(record.memory_bytes);
  out.set_device_memory_bytes(record.device_memory_bytes);
}

StepRecord decode(const v1::StepRecord& message) {
  check_present(message.has_phase_seconds(), "record.phase_seconds");
  const auto& layers = message.layer_flops_max_over_mean();
  check_count(layers.size(), coordinator_limits::kLayers, "record.layer_flops_max_over_mean");
  const auto& tokens = message.expert_tokens();
  check_count(tokens.size(), coordinator_limits::kExperts, "record.expert_tokens");
  return {.step = message.step(),
          .tokens = message.tokens(),
          .loss = message.loss(),
          .parameter_penalty = message.parameter_penalty(),
          .load_balance = message.load_balance(),
          .router_entropy = message.router_entropy(),
          .grad_norm = message.grad_norm(),
          .learning_rate = message.learning_rate(),
          .skipped = message.skipped(),
          .step_seconds = message.step_seconds(),
          .tokens_per_second = message.tokens_per_second(),
          .model_flops_per_second = message.model_flops_per_second(),
          .phase_seconds = decode_phases(message.phase_seconds()),
          .flops_max_over_mean = message.flops_max_over_mean(),
          .bytes = {.dispatch = message.bytes_dispatch(),
                    .combine = message.bytes_combine(),
                    .gradients = message.bytes_gradients(),
                    .parameters = message.bytes_parameters(),
                    .parameters_hidden = message.bytes_parameters_hidden(),
                    .other_node = message.bytes_other_node()},
          .generation = message.generation(),
          .layer_flops_max_over_mean = {layers.begin(), layers.end()},
          .expert_tokens = {tokens.begin(), tokens.end()},
          .memory_bytes = message.memory_bytes(),
          .device_memory_bytes = message.device_memory_bytes()};
}

void encode(const RunProgress& progress, v1::RunProgress& out) {
  const std::vector<std::int64_t>& widths = progress.expert_widths;
  check_count(widths.size(), coordinator_limits::kExperts, "progress.expert_widths");
  out.set_planned_steps(progress.planned_steps);
  out.set_productive_seconds(progress.productive_seconds);
  out.set_elapsed_seconds(progress.elapsed_seconds);
  out.set_rebalances(progress.rebalances);
  out.set_predicted_gain_seconds(progress.predicted_gain_seconds);
  out.set_measured_gain_seconds(progress.measured_gain_seconds);
  out.set_predicted_expert_seconds(progress.predicted_expert_seconds);
  out.set_failed_saves(progress.failed_saves);
  out.set_save_blocked_seconds(progress.save_blocked_seconds);
  out.set_checkpoint_every_steps(progress.checkpoint_every_steps);
  out.set_peak_flops_per_second(progress.peak_flops_per_second);
  out.mutable_expert_widths()->Assign(widths.begin(), widths.end());
}

RunProgress decode(const v1::RunProgress& message) {
  const auto& widths = message.expert_widths();
  check_count(widths.size(), coordinator_limits::kExperts, "progress.expert_widths");
  return {.planned_steps = message.planned_steps(),
          .productive_seconds = message.productive_seconds(),
          .elapsed_seconds = message.elapsed_seconds(),
          .rebalances = message.rebalances(),
          .predicted_gain_seconds = message.predicted_gain_seconds(),
          .measured_gain_seconds = message.measured_gain_seconds(),
          .predicted_expert_seconds = message.predicted_expert_seconds(),
          .failed_saves = message.failed_saves(),
          .save_blocked_seconds = message.save_blocked_seconds(),
          .checkpoint_every_steps = message.checkpoint_every_steps(),
          .peak_flops_per_second = message.peak_flops_per_second(),
          .expert_widths = {widths.begin(), widths.end()}};
}

void encode(const Heartbeat& heartbeat, v1::HeartbeatRequest& out) {
  out.set_step(heartbeat.step);
  out.set_phase(checked_text(heartbeat.phase, "phase"));
  out.set_collective_sequence(heartbeat.collective_sequence);
  out.set_collective(checked_text(heartbeat.collective, "collective"));
  out.set_step_seconds(heartbeat.step_seconds);
  out.set_expert_flops(heartbeat.expert_flops);
  out.set_wait_seconds(heartbeat.wait_seconds);
  out.set_memory_bytes(heartbeat.memory_bytes);
  out.set_device_memory_bytes(heartbeat.device_memory_bytes);
  out.set_executed_command(heartbeat.executed_command);
  out.set_executed_step(heartbeat.executed_step);
}

Heartbeat decode_body(const v1::HeartbeatRequest& message) {
  return {.member = {},
          .step = message.step(),
          .phase = checked_text(message.phase(), "phase"),
          .collective_sequence = message.collective_sequence(),
          .collective = checked_text(message.collective(), "collective"),
          .step_seconds = message.step_seconds(),
          .expert_flops = message.expert_flops(),
          .wait_seconds = message.wait_seconds(),
          .memory_bytes = message.memory_bytes(),
          .device_memory_bytes = message.device_memory_bytes(),
          .executed_command = message.executed_command(),
          .executed_step = message.executed_step()};
}

void encode(const CommittedCheckpoint& checkpoint, v1::CommitCheckpointRequest& out) {
  out.set_step(checkpoint.step);
  out.set_bytes(checkpoint.bytes);
  out.set_seconds(checkpoint.seconds);
  out.set_wall_seconds(checkpoint.wall_seconds);
}

CommittedCheckpoint decode_body(const v1::CommitCheckpointRequest& message) {
  return {.member = {},
          .step = message.step(),
          .bytes = message.bytes(),
          .seconds = message.seconds(),
          .wall_seconds = message.wall_seconds()};
}

}  // namespace hetmoe::message_fields
