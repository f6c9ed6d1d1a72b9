#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "parallel/communicator/communicator.h"
#include "runtime/exporter/metrics_server.h"
#include "runtime/exporter/rank_series.h"
#include "runtime/metrics/run_directory.h"
#include "runtime/run_config.h"

namespace hetmoe {

/// All of it must outlive the export.
struct ExportedRun {
  const MetricsConfig& config;
  bool insecure = false;  ///< coordinator.insecure: beyond loopback without TLS too
  const RunDirectory& directory;
  const Clock& clock;
  Communicator& control;
  int generation = 1;
};

/// What this rank serves to Prometheus: its own series under /metrics; with metrics.listen none it
/// does nothing. Prometheus finds the ranks in RUN_DIR/prometheus/targets.json; beyond loopback the
/// secret it must show is in prometheus/token and the certificate that ranks show, one for all of
/// them, in prometheus/certificate.pem (DESIGN, section 11). Its key goes to the ranks over MPI and
/// is never written.
class MetricsExport {
 public:
  /// Listens on every rank, on loopback where all are on one host outside Slurm. With a port given,
  /// the ranks of a host take that one and those after it. Collective. Blocking.
  /// Errors: AgreedError of code 2 that names the address.
  explicit MetricsExport(const ExportedRun& run);
  /// Rank 0: nothing is to be scraped any more, unless the folder is a later start's by now.
  ~MetricsExport();
  MetricsExport(const MetricsExport&) = delete;
  MetricsExport& operator=(const MetricsExport&) = delete;

  /// HOST:PORT as others reach it; empty: nothing is served.
  const std::string& address() const { return address_; }
  bool uses_tls() const { return uses_tls_; }
  /// Null: nothing is served.
  MetricsServer* server() { return server_.get(); }

  /// Writes prometheus/targets.json. `serves_run`: this rank shows the run's series too (rank 0).
  /// Collective. Blocking.
  void publish(const std::string& run_name, bool serves_run);

  /// The training thread, after every step.
  void add(const RankStep& step);
  void set_coordinator_reached(bool is_reached);

 private:
  const ExportedRun run_;
  std::unique_ptr<RankSeries> series_;
  std::unique_ptr<MetricsServer> server_;
  MetricsServer::Served page_;
  std::string address_;
  bool uses_tls_ = false;
};

}  // namespace hetmoe
