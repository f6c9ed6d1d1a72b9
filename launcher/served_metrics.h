#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/coordinator/coordinator.h"
#include "runtime/exporter/metrics_server.h"
#include "runtime/exporter/run_series.h"
#include "runtime/metrics/run_directory.h"

namespace hetmoe {

/// The run's series as a coordinator by itself serves them, and the files by which Prometheus finds
/// them: DIR/prometheus/targets.json as long as this lives; beyond loopback DIR/prometheus/token,
/// and unless `insecure` TLS with the certificate in DIR/prometheus/certificate.pem.
class ServedMetrics {
 public:
  /// Directory, coordinator and series must outlive this. Errors: ConfigError that names the
  /// address, StorageError.
  ServedMetrics(const std::string& listen, bool insecure, const RunDirectory& directory,
                Coordinator& coordinator, RunSeries& series);
  ~ServedMetrics();
  ServedMetrics(const ServedMetrics&) = delete;
  ServedMetrics& operator=(const ServedMetrics&) = delete;

  /// HOST:PORT as others reach it.
  const std::string& address() const { return address_; }

  /// Ranks and coordinator bear the same `run`: the name of the run that has joined, until then the
  /// folder's. Now and then; cheap when nothing has changed. Errors: StorageError.
  void follow_run();

 private:
  const RunDirectory& directory_;
  Coordinator& coordinator_;
  std::unique_ptr<MetricsServer> server_;
  bool uses_tls_ = false;
  std::string address_;
  std::string written_run_;
  std::vector<MetricsServer::Served> pages_;
};

}  // namespace hetmoe
