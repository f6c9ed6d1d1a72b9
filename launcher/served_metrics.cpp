#include "launcher/served_metrics.h"

#include <system_error>

#include "core/base/host_name.h"
#include "runtime/coordinator/network/coordinator_server.h"
#include "runtime/exporter/run_pages.h"
#include "runtime/exporter/scrape_targets.h"

namespace hetmoe {

ServedMetrics::ServedMetrics(const std::string& listen, bool insecure,
                             const RunDirectory& directory, Coordinator& coordinator,
                             RunSeries& series)
    : directory_(directory), coordinator_(coordinator) {
  const ScrapeCredentials credentials =
      is_loopback(listen) ? ScrapeCredentials() : make_scrape_credentials(directory, !insecure);
  server_ = std::make_unique<MetricsServer>(
      MetricsServerOptions{.listen = listen, .token = credentials.token, .pair = credentials.pair});
  uses_tls_ = credentials.uses_tls();
  address_ = reachable_host(listen) + ":" + std::to_string(server_->port());
  pages_ = serve_run(*server_, coordinator, series, address_, uses_tls_);
  follow_run();
}

ServedMetrics::~ServedMetrics() {
  pages_.clear();
  std::error_code error;  // one that stays names an address where nobody answers
  std::filesystem::remove(directory_.scrape_targets_file(), error);
}

void ServedMetrics::follow_run() {
  std::string run = coordinator_.status().run;
  if (run.empty()) run = directory_.name();
  if (run == written_run_) return;
  write_targets(directory_.scrape_targets_file(), {{.address = address_,
                                                    .path = kRunMetricsPath,
                                                    .run = run,
                                                    .host = host_name(),
                                                    .uses_tls = uses_tls_}});
  written_run_ = std::move(run);
}

}  // namespace hetmoe
