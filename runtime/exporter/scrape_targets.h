#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/network/credentials.h"
#include "runtime/metrics/run_directory.h"

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
  bool uses_tls = false;
};

/// What who scrapes beyond loopback must have and a server of metrics shows; empty on loopback.
struct ScrapeCredentials {
  std::string token;
  CertificatePair pair;  ///< empty: plain HTTP

  bool uses_tls() const { return !pair.certificate.empty(); }
};

/// New ones: the token is also left in the run directory, where its owner alone reads it, and the
/// certificate beside it; makes the folder when absent. Without TLS no certificate is made, and an
/// earlier one taken away. The certificate bears kCertificateName and serves all ranks.
/// Errors: StorageError.
ScrapeCredentials make_scrape_credentials(const RunDirectory& directory, bool with_tls);

/// Joined ranks that serve metrics.
std::vector<ScrapeTarget> targets_of(const CoordinatorStatus& status);

/// As file_sd and http_sd want it: [{"targets": [...], "labels": {...}}, ...]; labels run, host,
/// role ("rank", "coordinator") and, of a rank, rank; with TLS __scheme__ too.
std::string targets_json(const std::vector<ScrapeTarget>& targets);

/// Makes the folder when absent; the file is whole at any time. Errors: StorageError.
void write_targets(const std::filesystem::path& file, const std::vector<ScrapeTarget>& targets);

}  // namespace hetmoe
