#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "parallel/communicator/collective_log.h"

namespace hetmoe {

/// Which rank of which run, for reports.
struct RankIdentity {
  int rank = 0;
  int size = 1;
  int generation = 1;
};

/// What a rank was waiting for when it reported.
struct ReportedWait {
  std::string communicator;
  std::string operation;
  std::int64_t sequence = 0;
  std::int64_t step = 0;
  double waited_seconds = 0;
};

/// What one rank says of itself when the watchdog asks.
struct RankReport {
  RankIdentity identity;
  std::int64_t step = 0;
  std::optional<ReportedWait> wait;  ///< none: it computes, or hangs elsewhere
  double idle_seconds = 0;           ///< since its last collective ended
  std::vector<CollectiveLog::CommunicatorState> communicators;
};

/// From the log of this rank as it is now. Any thread.
RankReport report_of(const CollectiveLog& log, const RankIdentity& identity);

/// `RUN_DIR/collectives/rank-N.json`: the report, and the log's records with times since 1970.
std::string report_json(const RankReport& report, const CollectiveLog& log);

/// Reads the report of a file's text. Nothing: not one, such as a file of other content.
std::optional<RankReport> parse_report(std::string_view text);

/// The report of `identity.rank` in `folder`, if it has written one in this generation.
std::optional<RankReport> read_report(const std::filesystem::path& folder,
                                      const RankIdentity& identity);

std::filesystem::path report_file(const std::filesystem::path& folder, int rank);

}  // namespace hetmoe
