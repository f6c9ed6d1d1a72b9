#include "runtime/exporter/run_pages.h"

#include "core/base/host_name.h"
#include "runtime/exporter/scrape_targets.h"

namespace hetmoe {

std::vector<MetricsServer::Served> serve_run(MetricsServer& server, Coordinator& coordinator,
                                             RunSeries& series, const std::string& address,
                                             bool uses_tls) {
  const auto metrics = [&coordinator, &series] {
    series.describe(coordinator.status());
    return series.text();
  };
  const auto targets = [&coordinator, address, uses_tls] {
    const CoordinatorStatus status = coordinator.status();
    std::vector<ScrapeTarget> all = targets_of(status);
    all.insert(all.begin(), {.address = address,
                             .path = kRunMetricsPath,
                             .run = status.run,
                             .host = host_name(),
                             .uses_tls = uses_tls});
    return targets_json(all);
  };
  return {
      server.serve({.path = kRunMetricsPath, .content_type = kMetricsContentType, .body = metrics}),
      server.serve({.path = "/targets", .content_type = "application/json", .body = targets})};
}

}  // namespace hetmoe
