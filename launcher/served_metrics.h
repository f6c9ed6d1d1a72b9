#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "runtime/coordinator/coordinator.h"
#include "runtime/exporter/metrics_server.h"
#include "runtime/exporter/run_series.h"
#include "runtime/metrics/run_directory.h"

namespace hetmoe {

/// The run's series as a coordinator by itself serves them, and the files by which Prometheus finds
/// them: DIR/prometheus/targets.json as long as this lives, beyond loopback DIR/prometheus/token.
class ServedMetrics {
 public:
  /// Coordinator and series must outlive this. Errors: ConfigError that names the address,
  /// StorageError.
  ServedMetrics(const std::string& listen, const RunDirectory& directory, Coordinator& coordinator,
                RunSeries& series);
  ~ServedMetrics();
  ServedMetrics(const ServedMetrics&) = delete;
  ServedMetrics& operator=(const ServedMetrics&) = delete;

  /// HOST:PORT as others reach it.
  const std::string& address() const { return address_; }

 private:
  std::filesystem::path targets_file_;
  std::unique_ptr<MetricsServer> server_;
  std::string address_;
  std::vector<MetricsServer::Served> pages_;
};

}  // namespace hetmoe
