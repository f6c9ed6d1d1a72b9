#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/metrics/metrics_file.h"
#include "runtime/report/coordinator_text.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

/// One line; ranks may have sent any bytes.
std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json json_of(const std::optional<RunEnd>& end) {
  return end ? Json{{"code", end->code}, {"reason", end->reason}} : Json();
}

Json json_of(const RankStatus& rank) {
  return {{"rank", rank.rank},
          {"joined", rank.joined},
          {"host", rank.host},
          {"process", rank.process},
          {"metrics_address", rank.metrics_address},
          {"silent_seconds", rank.silent_seconds},
          {"step", rank.last.step},
          {"phase", rank.last.phase},
          {"collective_sequence", rank.last.collective_sequence},
          {"collective", rank.last.collective},
          {"step_seconds", rank.last.step_seconds},
          {"expert_flops", rank.last.expert_flops},
          {"wait_seconds", rank.last.wait_seconds},
          {"memory_bytes", rank.last.memory_bytes},
          {"device_memory_bytes", rank.last.device_memory_bytes}};
}

Json json_of(const AcceptedCommand& command) {
  const bool is_executed = command.executed_step > 0;
  return {{"number", command.number},
          {"command", command_name(command.kind)},
          {"executed_step", is_executed ? Json(command.executed_step) : Json()}};
}

/// As a line of metrics.jsonl.
Json json_of(const StepRecord& record) {
  if (record.step == 0) return {{"step", 0}};
  return Json::parse(metrics_line(record));
}

Json json_of(const CommittedCheckpoint& committed) {
  if (committed.step == 0) return {{"step", 0}};
  return {{"step", committed.step},
          {"bytes", committed.bytes},
          {"seconds", committed.seconds},
          {"wall_seconds", committed.wall_seconds}};
}

template <typename Value>
Json list_of(const std::vector<Value>& values) {
  Json list = Json::array();
  for (const Value& value : values) list.push_back(json_of(value));
  return list;
}

Json objects_of(const std::vector<std::string>& lines) {
  Json objects = Json::array();
  for (const std::string& line : lines) {
    Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (object.is_object()) objects.push_back(std::move(object));
  }
  return objects;
}

}  // namespace

std::string coordinator_json(const CoordinatorStatus& status, const RunSurroundings& run) {
  return text_of({{"reachable", true},
                  {"run", status.run},
                  {"generation", status.generation},
                  {"ranks", status.ranks},
                  {"steps", run.steps > 0 ? Json(run.steps) : Json()},
                  {"uptime_seconds", status.uptime_seconds},
                  {"last_step", json_of(status.last_step)},
                  {"committed", json_of(status.committed)},
                  {"preparing", {{"step", status.prepared_step}, {"ranks", status.prepared_ranks}}},
                  {"commands", list_of(status.commands)},
                  {"silent_ranks", status.silent_ranks},
                  {"behind_ranks", status.behind_ranks},
                  {"members", list_of(status.members)},
                  {"exit", json_of(run.end)}});
}

std::string run_tail_json(const RunTail& tail, const RunSurroundings& run) {
  return text_of({{"reachable", false},
                  {"metrics", objects_of(tail.metrics)},
                  {"events", objects_of(tail.events)},
                  {"exit", json_of(run.end)}});
}

}  // namespace hetmoe
