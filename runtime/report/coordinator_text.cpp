#include "runtime/report/coordinator_text.h"

#include <algorithm>
#include <limits>

#include "runtime/report/quantity_text.h"
#include "runtime/report/rank_table.h"

namespace hetmoe {
namespace {

constexpr std::size_t kLongestName = 80;
constexpr std::size_t kLongestReason = 300;

std::string line(const std::string& name, const std::string& content) {
  return left_aligned(name, 13) + content + "\n";
}

std::string of_ranks(const std::vector<int>& ranks) {
  return (ranks.size() == 1 ? "rank " : "ranks ") + ranks_text(ranks);
}

std::string run_text(const CoordinatorStatus& status) {
  if (status.generation == 0) return "nobody has joined yet";
  if (status.members.empty()) {
    return plain_text(status.run, kLongestName) + ", generation " +
           std::to_string(status.generation) + ", none of " + std::to_string(status.ranks) +
           " ranks has joined";
  }
  const auto joined = std::count_if(status.members.begin(), status.members.end(),
                                    [](const RankStatus& rank) { return rank.joined; });
  std::string text = plain_text(status.run, kLongestName) + ", generation " +
                     std::to_string(status.generation) + ", ";
  if (joined < status.ranks) text += std::to_string(joined) + " of ";
  return text + std::to_string(status.ranks) + (status.ranks == 1 ? " rank" : " ranks");
}

std::string step_text(const StepRecord& record, std::int64_t steps) {
  std::string text = std::to_string(record.step);
  if (steps > 0) text += " of " + std::to_string(steps);
  text += ", loss " + fixed_text(record.loss, 4) + ", " + count_text(record.tokens_per_second) +
          " tokens/s, " + short_duration_text(record.step_seconds) + " a step, balance " +
          fixed_text(record.flops_max_over_mean, 2);
  if (record.skipped > 0) text += ", " + std::to_string(record.skipped) + " skipped";
  return text;
}

std::string committed_text(const CommittedCheckpoint& committed, double wall_seconds_now) {
  if (committed.step == 0) return "none committed";
  return "step " + std::to_string(committed.step) + ", " + bytes_text(committed.bytes) + " in " +
         short_duration_text(committed.seconds) + ", committed " +
         duration_text(wall_seconds_now - committed.wall_seconds) + " ago";
}

std::string command_text(const AcceptedCommand& command) {
  const std::string name =
      std::to_string(command.number) + " " + std::string(command_name(command.kind));
  if (command.executed_step == 0) return name + ", waits";
  return name + ", executed after step " + std::to_string(command.executed_step);
}

/// Those that wait; of the executed ones the newest.
std::string commands_text(const std::vector<AcceptedCommand>& commands) {
  std::string text;
  for (std::size_t i = 0; i < commands.size(); ++i) {
    const bool is_newest = i + 1 == commands.size();
    if (commands[i].executed_step > 0 && !is_newest) continue;
    text += line(text.empty() ? "commands" : "", command_text(commands[i]));
  }
  return text;
}

/// The lowest collective, that a rank behind is at.
std::string behind_text(const CoordinatorStatus& status) {
  std::string text = of_ranks(status.behind_ranks);
  const auto behind = std::find_if(
      status.members.begin(), status.members.end(),
      [&](const RankStatus& rank) { return rank.rank == status.behind_ranks.front(); });
  if (behind == status.members.end()) return text;
  text += " at collective " + std::to_string(behind->last.collective_sequence);
  if (behind->last.collective.empty()) return text;
  return text + " (" + plain_text(behind->last.collective, 40) + ")";
}

}  // namespace

std::string coordinator_text(const CoordinatorStatus& status, const RunSurroundings& run) {
  std::string text = line("run", run_text(status));
  if (run.end) text += line("", run_end_text(*run.end));
  if (status.last_step.step > 0) text += line("step", step_text(status.last_step, run.steps));
  text += line("checkpoint", committed_text(status.committed, run.wall_seconds_now));
  if (status.prepared_step > 0) {
    text += line("saving", "step " + std::to_string(status.prepared_step) + ", written by " +
                               std::to_string(status.prepared_ranks) + " of " +
                               std::to_string(status.ranks) + " ranks");
  }
  text += commands_text(status.commands);
  if (!status.silent_ranks.empty()) text += line("silent", of_ranks(status.silent_ranks));
  if (!status.behind_ranks.empty()) text += line("behind", behind_text(status));
  text += line("coordinator", "up " + duration_text(status.uptime_seconds));
  if (status.members.empty()) return text;
  return text + "\n" + rank_table(status, kTableRanks);
}

std::string run_end_text(const RunEnd& end) {
  std::string text = "ended with code " + std::to_string(end.code);
  if (!end.reason.empty()) text += ": " + plain_text(end.reason, kLongestReason);
  return text;
}

}  // namespace hetmoe
