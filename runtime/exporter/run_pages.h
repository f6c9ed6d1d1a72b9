#pragma once

#include <string>
#include <vector>

#include "runtime/coordinator/coordinator.h"
#include "runtime/exporter/metrics_server.h"
#include "runtime/exporter/run_series.h"

namespace hetmoe {

/// What a coordinator serves: the run's series under kRunMetricsPath, and under /targets all that
/// is to be scraped, itself at `address` (HOST:PORT, with TLS or without) included, as http_sd
/// wants it.
std::vector<MetricsServer::Served> serve_run(MetricsServer& server, Coordinator& coordinator,
                                             RunSeries& series, const std::string& address,
                                             bool uses_tls);

}  // namespace hetmoe
