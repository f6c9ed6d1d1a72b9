#include "runtime/watchdog/rank_report.h"

#include <unistd.h>

#include <array>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/host_name.h"

namespace hetmoe {
namespace {

using Json = nlohmann::ordered_json;

// 256 records take some 60 kB.
constexpr std::int64_t kLargestFileBytes = 4 << 20;

std::string name_of(const RankReport& report, std::int64_t communicator) {
  const auto index = static_cast<std::size_t>(communicator);
  return index < report.communicators.size() ? report.communicators[index].name : "";
}

/// Times since 1970 from those of a monotonic clock.
class WallTime {
 public:
  explicit WallTime(const Clock& clock)
      : offset_seconds_(clock.wall_seconds() - clock.monotonic_seconds()) {}
  Json of(double seconds) const {
    return seconds == CollectiveRecord::kNever ? Json() : Json(seconds + offset_seconds_);
  }

 private:
  double offset_seconds_;
};

Json wait_json(const std::optional<ReportedWait>& wait) {
  if (!wait) return {};
  return {{"communicator", wait->communicator},
          {"operation", wait->operation},
          {"sequence", wait->sequence},
          {"step", wait->step},
          {"waited_seconds", wait->waited_seconds}};
}

RankReport from_json(const Json& json) {
  RankReport report;
  report.identity = {json.at("rank").get<int>(), json.at("size").get<int>(),
                     json.at("generation").get<int>()};
  json.at("step").get_to(report.step);
  json.at("idle_seconds").get_to(report.idle_seconds);
  if (const Json& wait = json.at("waits_for"); !wait.is_null()) {
    report.wait = {wait.at("communicator").get<std::string>(),
                   wait.at("operation").get<std::string>(), wait.at("sequence").get<std::int64_t>(),
                   wait.at("step").get<std::int64_t>(), wait.at("waited_seconds").get<double>()};
  }
  for (const Json& one : json.at("communicators")) {
    report.communicators.push_back({one.at("name").get<std::string>(), one.at("size").get<int>(),
                                    one.at("started").get<std::int64_t>()});
  }
  return report;
}

}  // namespace

RankReport report_of(const CollectiveLog& log, const RankIdentity& identity) {
  RankReport report;
  report.identity = identity;
  const std::optional<CollectiveRecord> wait = log.open_wait();
  const double now = log.clock().monotonic_seconds();
  report.step = log.step();
  report.communicators = log.communicators();
  report.idle_seconds = wait ? 0 : now - log.last_ended_seconds();
  if (wait) {
    report.wait = {name_of(report, wait->communicator), wait->operation, wait->sequence, wait->step,
                   now - wait->wait_began_seconds};
  }
  return report;
}

std::string report_json(const RankReport& report, const CollectiveLog& log) {
  Json json = {{"rank", report.identity.rank},
               {"size", report.identity.size},
               {"generation", report.identity.generation},
               {"host", host_name()},
               {"process", getpid()},
               {"unix_seconds", log.clock().wall_seconds()},
               {"step", report.step},
               {"waits_for", wait_json(report.wait)},
               {"idle_seconds", report.idle_seconds},
               {"communicators", Json::array()}};
  for (const CollectiveLog::CommunicatorState& one : report.communicators) {
    json["communicators"].push_back(
        {{"name", one.name}, {"size", one.size}, {"started", one.started}});
  }
  const WallTime wall(log.clock());
  json["collectives"] = Json::array();
  for (const CollectiveRecord& record : log.records()) {
    json["collectives"].push_back({{"number", record.number},
                                   {"communicator", name_of(report, record.communicator)},
                                   {"sequence", record.sequence},
                                   {"operation", record.operation},
                                   {"bytes", record.bytes},
                                   {"step", record.step},
                                   {"started_unix_seconds", wall.of(record.started_seconds)},
                                   {"wait_began_unix_seconds", wall.of(record.wait_began_seconds)},
                                   {"ended_unix_seconds", wall.of(record.ended_seconds)}});
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::optional<RankReport> parse_report(std::string_view text) {
  try {
    return from_json(Json::parse(text));
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

std::optional<RankReport> read_report(const std::filesystem::path& folder,
                                      const RankIdentity& identity) {
  std::ifstream file(report_file(folder, identity.rank), std::ios::binary);
  std::string text;
  std::array<char, 65536> block{};
  while (file.read(block.data(), block.size()) || file.gcount() > 0) {
    text.append(block.data(), static_cast<std::size_t>(file.gcount()));
    if (text.size() > kLargestFileBytes) return std::nullopt;
  }
  std::optional<RankReport> report = parse_report(text);
  if (!report || report->identity.rank != identity.rank || report->identity.size != identity.size ||
      report->identity.generation != identity.generation) {
    return std::nullopt;
  }
  return report;
}

std::filesystem::path report_file(const std::filesystem::path& folder, int rank) {
  return folder / ("rank-" + std::to_string(rank) + ".json");
}

}  // namespace hetmoe
