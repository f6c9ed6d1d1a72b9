#include "runtime/coordinator/limits.h"
#include "runtime/coordinator/network/message_fields.h"
#include "runtime/coordinator/network/messages.h"

namespace hetmoe {
namespace {

namespace fields = message_fields;
namespace limits = coordinator_limits;
using fields::checked_text;

void encode_rank(const RankStatus& status, v1::RankStatus& out) {
  out.set_rank(status.rank);
  out.set_joined(status.joined);
  out.set_host(checked_text(status.host, "members.host"));
  out.set_process(status.process);
  out.set_metrics_address(checked_text(status.metrics_address, "members.metrics_address"));
  out.set_metrics_use_tls(status.metrics_use_tls);
  out.set_silent_seconds(status.silent_seconds);
  fields::encode(status.last, *out.mutable_last());
}

RankStatus decode_rank(const v1::RankStatus& message) {
  fields::check_present(message.has_last(), "members.last");
  return {.rank = fields::checked_integer(message.rank(), 0, limits::kRanks - 1, "members.rank"),
          .joined = message.joined(),
          .host = checked_text(message.host(), "members.host"),
          .process = message.process(),
          .metrics_address = checked_text(message.metrics_address(), "members.metrics_address"),
          .metrics_use_tls = message.metrics_use_tls(),
          .silent_seconds = message.silent_seconds(),
          .last = fields::decode_body(message.last())};
}

void check_counts(std::size_t members, std::size_t silent, std::size_t behind,
                  std::size_t commands) {
  fields::check_count(members, limits::kRanks, "members");
  fields::check_count(silent, limits::kRanks, "silent_ranks");
  fields::check_count(behind, limits::kRanks, "behind_ranks");
  fields::check_count(commands, limits::kListedCommands, "commands");
}

template <typename Numbers>
std::vector<int> decode_ranks(const Numbers& numbers, const char* field) {
  std::vector<int> ranks;
  ranks.reserve(static_cast<std::size_t>(numbers.size()));
  for (const int rank : numbers) {
    ranks.push_back(fields::checked_integer(rank, 0, limits::kRanks - 1, field));
  }
  return ranks;
}

}  // namespace

v1::StatusReply encode(const CoordinatorStatus& status) {
  check_counts(status.members.size(), status.silent_ranks.size(), status.behind_ranks.size(),
               status.commands.size());
  v1::StatusReply out;
  out.set_run(checked_text(status.run, "run"));
  out.set_generation(status.generation);
  out.set_ranks(status.ranks);
  out.set_uptime_seconds(status.uptime_seconds);
  fields::encode(status.last_step, *out.mutable_last_step());
  for (const RankStatus& rank : status.members) encode_rank(rank, *out.add_members());
  for (const int rank : status.silent_ranks) out.add_silent_ranks(rank);
  for (const int rank : status.behind_ranks) out.add_behind_ranks(rank);
  out.set_prepared_step(status.prepared_step);
  out.set_prepared_ranks(status.prepared_ranks);
  fields::encode(status.committed, *out.mutable_committed());
  for (const AcceptedCommand& command : status.commands) {
    fields::encode(command, *out.add_commands());
  }
  return out;
}

CoordinatorStatus decode(const v1::StatusReply& message) {
  check_counts(message.members().size(), message.silent_ranks().size(),
               message.behind_ranks().size(), message.commands().size());
  fields::check_present(message.has_last_step(), "last_step");
  fields::check_present(message.has_committed(), "committed");
  CoordinatorStatus status;
  status.run = checked_text(message.run(), "run");
  status.generation = message.generation();
  status.ranks = fields::checked_integer(message.ranks(), 0, limits::kRanks, "ranks");
  status.uptime_seconds = message.uptime_seconds();
  status.last_step = fields::decode(message.last_step());
  status.members.reserve(static_cast<std::size_t>(message.members().size()));
  for (const v1::RankStatus& rank : message.members()) {
    status.members.push_back(decode_rank(rank));
  }
  status.silent_ranks = decode_ranks(message.silent_ranks(), "silent_ranks");
  status.behind_ranks = decode_ranks(message.behind_ranks(), "behind_ranks");
  status.prepared_step = message.prepared_step();
  status.prepared_ranks =
      fields::checked_integer(message.prepared_ranks(), 0, limits::kRanks, "prepared_ranks");
  status.committed = fields::decode_body(message.committed());
  for (const v1::AcceptedCommand& command : message.commands()) {
    status.commands.push_back(fields::decode(command));
  }
  return status;
}

}  // namespace hetmoe
