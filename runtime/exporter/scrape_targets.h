#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

/// Where the series of the run itself are served, beside or without those of a rank.
inline constexpr const char* kRunMetricsPath = "/run/metrics";

/// Something that Prometheus scrapes.
struct ScrapeTarget {
  std::string address;  ///< HOST:PORT
  std::string path = "/metrics";
  std::string run;
  std::string host;
  int rank = -1;  ///< -1: the coordinator
};

/// Joined ranks that serve metrics.
std::vector<ScrapeTarget> targets_of(const CoordinatorStatus& status);

/// As file_sd and http_sd want it: [{"targets": [...], "labels": {...}}, ...]; labels run, host,
/// role ("rank", "coordinator") and, of a rank, rank.
std::string targets_json(const std::vector<ScrapeTarget>& targets);

/// Makes the folder when absent; the file is whole at any time. Errors: StorageError.
void write_targets(const std::filesystem::path& file, const std::vector<ScrapeTarget>& targets);

/// A new secret that Prometheus must show, also left in `file`, which its owner alone reads; makes
/// the folder when absent. Errors: StorageError.
std::string make_scrape_token(const std::filesystem::path& file);

}  // namespace hetmoe
