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

/// One for the run, in a file that only its owner reads.
std::string make_shared_token(const RunDirectory& directory, Communicator& control) {
  std::string token;
  collectively(control, [&] {
    if (control.rank() == 0) token = make_scrape_token(directory.scrape_token_file());
  });
  return broadcast_text(control, std::move(token), 0);
}

}  // namespace

MetricsExport::MetricsExport(const ExportedRun& run) : run_(run) {
  if (run.config.listen == "none") return;
  const std::vector<int> hosts = hosts_of_ranks(run.control);
  const std::string listens = listen_address(run.config.listen, hosts);
  collectively(run.control, [&] { require_address(listens); });
  const bool is_open = !is_loopback(listens);
  const std::string token = is_open ? make_shared_token(run.directory, run.control) : std::string();
  collectively(run.control, [&] {
    series_ = std::make_unique<RankSeries>(run.clock);
    const std::string own = with_port_after(listens, index_on_host(hosts, run.control.rank()));
    server_ = std::make_unique<MetricsServer>(MetricsServerOptions{.listen = own, .token = token});
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
      targets.push_back(
          {.address = addresses[0], .path = kRunMetricsPath, .run = run_name, .host = hosts[0]});
    }
    for (std::size_t rank = 0; rank < addresses.size(); ++rank) {
      targets.push_back({.address = addresses[rank],
                         .run = run_name,
                         .host = hosts[rank],
                         .rank = static_cast<int>(rank)});
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
