#include "launcher/served_metrics.h"

#include <system_error>

#include "core/base/host_name.h"
#include "runtime/coordinator/network/coordinator_server.h"
#include "runtime/exporter/run_pages.h"
#include "runtime/exporter/scrape_targets.h"

namespace hetmoe {

ServedMetrics::ServedMetrics(const std::string& listen, const RunDirectory& directory,
                             Coordinator& coordinator, RunSeries& series)
    : targets_file_(directory.scrape_targets_file()),
      server_(std::make_unique<MetricsServer>(MetricsServerOptions{
          .listen = listen,
          .token = is_loopback(listen) ? std::string()
                                       : make_scrape_token(directory.scrape_token_file())})),
      address_(reachable_host(listen) + ":" + std::to_string(server_->port())),
      pages_(serve_run(*server_, coordinator, series, address_)) {
  write_targets(targets_file_, {{.address = address_,
                                 .path = kRunMetricsPath,
                                 .run = directory.path().filename().string(),
                                 .host = host_name()}});
}

ServedMetrics::~ServedMetrics() {
  pages_.clear();
  std::error_code error;  // one that stays names an address where nobody answers
  std::filesystem::remove(targets_file_, error);
}

}  // namespace hetmoe
