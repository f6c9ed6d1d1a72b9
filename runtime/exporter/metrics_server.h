#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/coordinator/network/credentials.h"

namespace hetmoe {

struct MetricsServerOptions {
  std::string listen = "127.0.0.1:0";  ///< HOST:PORT; port 0: any free one
  std::string token;                   ///< asked for as "Authorization: Bearer TOKEN"; empty: none
  CertificatePair pair;                ///< empty: plain HTTP; else TLS from version 1.2 on
};

/// Of Prometheus' text format.
inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

/// What GET of a path gives.
struct MetricsPage {
  std::string path;  ///< such as "/metrics"
  std::string content_type;
  /// Runs on a thread of the server, one call at a time; must not wait for training.
  std::function<std::string()> body;
};

/// Pages over HTTP for Prometheus, answered by threads of its own, whatever training does.
class MetricsServer {
 public:
  class Serving;
  /// As long as it lives the page is there; its end waits for a body that is being made. Any order
  /// with the server's end.
  using Served = std::shared_ptr<Serving>;

  /// Listens when it returns. Errors: ConfigError that names the address.
  explicit MetricsServer(const MetricsServerOptions& options);
  /// Answers what is under way and ends. Blocking: up to a few seconds, where somebody is connected
  /// and says nothing.
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  int port() const;
  /// Any time; a path once.
  [[nodiscard]] Served serve(MetricsPage page);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace hetmoe
