#include "runtime/trainer/metrics_export.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/host_name.h"
#include "parallel/agreement.h"
#include "parallel/communicator/rank_hosts.h"
#include "runtime/coordinator/network/coordinator_server.h"
#include "runtime/coordinator/network/network_address.h"
#include "runtime/exporter/scrape_targets.h"
#include "runtime/metrics/run_lock.h"
#include "runtime/trainer/listen_address.h"

namespace hetmoe {
namespace {

/// This rank's place among those of its host.
int index_on_host(const std::vector<int>& hosts, int rank) {
  return static_cast<int>(std::count(hosts.begin(), hosts.begin() + rank, hosts[rank]));
}

void require_address(const std::string& listens) {
  if (parse_network_address(listens)) return;
  throw ConfigError("metrics.listen is '" + listens + "', allowed: HOST:PORT, none, or nothing");
}

std::string with_port_after(const std::string& address, int places) {
  const std::size_t colon = address.rfind(':');
  const int port = std::stoi(address.substr(colon + 1));
  return address.substr(0, colon + 1) + std::to_string(port == 0 ? 0 : port + places);
}

/// Made by rank 0, handed to the others over MPI. Collective.
ScrapeCredentials make_shared_credentials(const ExportedRun& run) {
  ScrapeCredentials made;
  collectively(run.control, [&] {
    if (run.control.rank() == 0) made = make_scrape_credentials(run.directory, !run.insecure);
  });
  for (std::string* part : {&made.token, &made.pair.certificate, &made.pair.private_key}) {
    *part = broadcast_text(run.control, std::move(*part), 0);
  }
  return made;
}

}  // namespace

MetricsExport::MetricsExport(const ExportedRun& run) : run_(run) {
  if (run.config.listen == "none") return;
  const std::vector<int> hosts = hosts_of_ranks(run.control);
  const std::string listens = listen_address(run.config.listen, hosts);
  collectively(run.control, [&] { require_address(listens); });
  const bool is_open = !is_loopback(listens);
  const ScrapeCredentials credentials =
      is_open ? make_shared_credentials(run) : ScrapeCredentials();
  uses_tls_ = credentials.uses_tls();
  collectively(run.control, [&] {
    series_ = std::make_unique<RankSeries>(run.clock);
    const std::string own = with_port_after(listens, index_on_host(hosts, run.control.rank()));
    server_ = std::make_unique<MetricsServer>(
        MetricsServerOptions{.listen = own, .token = credentials.token, .pair = credentials.pair});
    page_ =
        server_->serve({.path = "/metrics", .content_type = kMetricsContentType, .body = [this] {
                          return series_->text();
                        }});
    address_ = reachable_host(own) + ":" + std::to_string(server_->port());
  });
}

MetricsExport::~MetricsExport() {
  page_.reset();
  if (!server_ || run_.control.rank() != 0) return;
  try {
    write_as_generation(run_.directory, run_.generation,
                        [&] { write_targets(run_.directory.scrape_targets_file(), {}); });
  } catch (const std::exception&) {
    // A disk that is gone now has been told about; Prometheus finds nobody at these addresses.
  }
}

void MetricsExport::publish(const std::string& run_name, bool serves_run) {
  if (!server_) return;
  const std::vector<std::string> addresses = gather_texts(run_.control, address_);
  const std::vector<std::string> hosts = gather_texts(run_.control, host_name());
  collectively(run_.control, [&] {
    if (run_.control.rank() != 0) return;
    std::vector<ScrapeTarget> targets;
    if (serves_run) {
      targets.push_back({.address = addresses[0],
                         .path = kRunMetricsPath,
                         .run = run_name,
                         .host = hosts[0],
                         .uses_tls = uses_tls_});
    }
    for (std::size_t rank = 0; rank < addresses.size(); ++rank) {
      targets.push_back({.address = addresses[rank],
                         .run = run_name,
                         .host = hosts[rank],
                         .rank = static_cast<int>(rank),
                         .uses_tls = uses_tls_});
    }
    write_targets(run_.directory.scrape_targets_file(), targets);
  });
}

void MetricsExport::add(const RankStep& step) {
  if (series_) series_->add(step);
}

void MetricsExport::set_coordinator_reached(bool is_reached) {
  if (series_) series_->set_coordinator_reached(is_reached);
}

}  // namespace hetmoe
