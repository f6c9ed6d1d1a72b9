#include <cmath>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "runtime/coordinator/journal.h"
#include "runtime/coordinator/limits.h"
#include "runtime/coordinator/request_checks.h"
#include "runtime/metrics/events_file.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;
namespace limits = coordinator_limits;

constexpr int kFormat = 1;
constexpr std::size_t kLongestLineBytes = 64 << 10;
constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();

/// An object of a line, and what it is called; every access checks.
class Fields {
 public:
  Fields(const Json& json, std::string source, std::initializer_list<const char*> keys)
      : json_(json), source_(std::move(source)) {
    if (!json.is_object()) fault("is no object");
    for (const char* key : keys) {
      if (!json.contains(key)) fault(detail::concatenate("lacks '", key, "'"));
    }
    if (json.size() == keys.size()) return;
    fault(detail::concatenate("has ", json.size(), " keys, allowed: ", keys.size()));
  }

  const Json& at(const char* key) const { return json_.at(key); }

  std::int64_t integer(const char* key, std::int64_t low, std::int64_t high) const {
    const Json& value = json_.at(key);
    const bool fits =
        value.is_number_integer() &&
        (!value.is_number_unsigned() || std::in_range<std::int64_t>(value.get<std::uint64_t>()));
    const std::int64_t number = fits ? value.get<std::int64_t>() : 0;
    if (!fits || number < low || number > high) {
      fault(detail::concatenate(key, " is ", shown(value), ", allowed: ", low, " to ", high));
    }
    return number;
  }

  double amount(const char* key) const {
    const Json& value = json_.at(key);
    const double number = value.is_number() ? value.get<double>() : -1;
    if (!std::isfinite(number) || number < 0) {
      fault(detail::concatenate(key, " is ", shown(value), ", allowed: a finite number from 0"));
    }
    return number;
  }

  std::string text(const char* key) const {
    if (!json_.at(key).is_string()) fault(detail::concatenate(key, " is no string"));
    return json_.at(key).get<std::string>();
  }

  [[noreturn]] void fault(const std::string& fault) const {
    throw StorageError(source_ + " " + fault);
  }

 private:
  static std::string shown(const Json& value) {
    return value.is_number() ? value.dump() : value.type_name();
  }

  const Json& json_;
  std::string source_;
};

Json command_json(const AcceptedCommand& command) {
  return {{"number", command.number},
          {"command", command_name(command.kind)},
          {"executed_step", command.executed_step}};
}

CommandKind read_kind(const Fields& fields) {
  const std::string name = fields.text("command");
  for (const CommandKind kind : kCommandKinds) {
    if (command_name(kind) == name) return kind;
  }
  fields.fault("command is " + shown_text(name) +
               ", allowed: save, stop, stop_and_requeue, rebalance");
}

std::vector<AcceptedCommand> read_commands(const Fields& fields, std::int64_t newest,
                                           const std::string& source) {
  constexpr std::size_t kMost = limits::kOpenCommands + limits::kListedCommands;
  const Json& list = fields.at("commands");
  if (!list.is_array()) fields.fault("commands is no array");
  if (list.size() > kMost) {
    fields.fault(detail::concatenate("has ", list.size(), " commands, allowed: up to ", kMost));
  }
  std::vector<AcceptedCommand> commands;
  for (const Json& element : list) {
    const Fields one(element, source + ": command", {"number", "command", "executed_step"});
    const std::int64_t least = commands.empty() ? 1 : commands.back().number + 1;
    commands.push_back({.number = one.integer("number", least, newest),
                        .kind = read_kind(one),
                        .executed_step = one.integer("executed_step", 0, limits::kSteps)});
  }
  return commands;
}

CommittedCheckpoint read_committed(const Json& json, std::int64_t generation,
                                   const std::string& source) {
  const Fields fields(json, source, {"generation", "step", "bytes", "seconds", "wall_seconds"});
  CommittedCheckpoint committed;
  committed.step = fields.integer("step", 0, limits::kSteps);
  const bool is_there = committed.step > 0;
  committed.member.generation =
      fields.integer("generation", is_there ? 1 : 0, is_there ? generation : 0);
  committed.bytes = fields.integer("bytes", 0, kAny);
  committed.seconds = fields.amount("seconds");
  committed.wall_seconds = fields.amount("wall_seconds");
  return committed;
}

}  // namespace

std::string write_journal_state(const JournalState& state) {
  Json commands = Json::array();
  for (const AcceptedCommand& command : state.commands) commands.push_back(command_json(command));
  const CommittedCheckpoint& committed = state.committed;
  const Json line = {{"format", kFormat},
                     {"run", state.run},
                     {"generation", state.generation},
                     {"ranks", state.ranks},
                     {"newest_command", state.newest_command},
                     {"commands", std::move(commands)},
                     {"committed",
                      {{"generation", committed.member.generation},
                       {"step", committed.step},
                       {"bytes", committed.bytes},
                       {"seconds", committed.seconds},
                       {"wall_seconds", committed.wall_seconds}}}};
  return line.dump(-1, ' ', true);
}

JournalState read_journal_state(const std::string& line, const std::string& source) {
  if (line.size() > kLongestLineBytes) {
    throw StorageError(detail::concatenate(source, " is ", line.size(),
                                           " bytes long, allowed: up to ", kLongestLineBytes));
  }
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) throw StorageError(source + " is no JSON");
  const Fields fields(
      json, source,
      {"format", "run", "generation", "ranks", "newest_command", "commands", "committed"});
  fields.integer("format", kFormat, kFormat);
  JournalState state;
  state.generation = fields.integer("generation", 0, kLargestGeneration);
  const bool has_joined = state.generation > 0;
  state.run = fields.text("run");
  if (has_joined ? !is_run_name(state.run) : !state.run.empty()) {
    fields.fault("run is " + shown_text(state.run) + ", allowed: the name of a run, once joined");
  }
  state.ranks = static_cast<int>(
      fields.integer("ranks", has_joined ? 1 : 0, has_joined ? limits::kRanks : 0));
  state.newest_command = fields.integer("newest_command", 0, kAny);
  state.commands = read_commands(fields, state.newest_command, source);
  state.committed =
      read_committed(fields.at("committed"), state.generation, source + ": committed");
  return state;
}

}  // namespace hetmoe
