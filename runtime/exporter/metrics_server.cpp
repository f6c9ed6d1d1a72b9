#include "runtime/exporter/metrics_server.h"

#include <civetweb.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include "core/base/check.h"
#include "core/base/error.h"
#include "runtime/coordinator/network/credentials.h"

namespace hetmoe {
namespace {}  // namespace

struct MetricsServer::Serving {
  Serving(mg_context* server, MetricsPage served, const std::string& secret);
  ~Serving() { mg_set_request_handler(context, page.path.c_str(), nullptr, nullptr); }
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;

  mg_context* context;
  MetricsPage page;
  const std::string& token;
  std::mutex one_at_a_time;
};

namespace {

bool may_read(const mg_connection* connection, const std::string& token) {
  if (token.empty()) return true;
  const char* given = mg_get_header(connection, "Authorization");
  return given != nullptr && same_secret(given, "Bearer " + token);
}

int refuse(mg_connection* connection, int status, const char* headers) {
  mg_printf(connection, "HTTP/1.1 %d %s\r\n%sContent-Length: 0\r\nConnection: close\r\n\r\n",
            status, mg_get_response_code_text(connection, status), headers);
  return status;
}

/// Called by the server's C code: nothing may be thrown through it.
int answer(mg_connection* connection, void* served) noexcept {
  auto& serving = *static_cast<MetricsServer::Serving*>(served);
  const MetricsPage& page = serving.page;
  const mg_request_info* request = mg_get_request_info(connection);
  const bool is_head = std::strcmp(request->request_method, "HEAD") == 0;
  if (!is_head && std::strcmp(request->request_method, "GET") != 0) {
    return refuse(connection, 405, "Allow: GET, HEAD\r\n");
  }
  // A handler is also asked for what lies below its path.
  if (request->local_uri != page.path) return refuse(connection, 404, "");
  if (!may_read(connection, serving.token))
    return refuse(connection, 401, "WWW-Authenticate: Bearer\r\n");
  try {
    std::string body;
    {
      const std::scoped_lock guard(serving.one_at_a_time);
      body = page.body();
    }
    mg_printf(connection,
              "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
              "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
              page.content_type.c_str(), body.size());
    if (!is_head) mg_write(connection, body.data(), body.size());
    return 200;
  } catch (const std::exception&) {
    return refuse(connection, 500, "");
  }
}

/// The library would print to standard error, on a terminal that is not its own.
int say_nothing(const mg_connection*, const char*) { return 1; }

void knock(const std::string& host, int port) {
  std::array<char, 128> ignored = {};
  mg_connection* connection =
      mg_connect_client(host.c_str(), port, /*use_ssl=*/0, ignored.data(), ignored.size());
  if (connection != nullptr) mg_close_connection(connection);
}

/// HOST of HOST:PORT, as it is reached from here.
std::string own_host(const std::string& listen) {
  std::string host = listen.substr(0, listen.rfind(':'));
  if (host == "0.0.0.0") return "127.0.0.1";
  if (host == "[::]") return "::1";
  return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

}  // namespace

MetricsServer::Serving::Serving(mg_context* server, MetricsPage served, const std::string& secret)
    : context(server), page(std::move(served)), token(secret) {
  mg_set_request_handler(context, page.path.c_str(), answer, this);
}

struct MetricsServer::Parts {
  std::string token;
  std::string host;
  mg_context* context = nullptr;
};

MetricsServer::MetricsServer(const MetricsServerOptions& options)
    : parts_(std::make_unique<Parts>()) {
  parts_->token = options.token;
  parts_->host = own_host(options.listen);
  mg_init_library(0);
  mg_callbacks callbacks = {};
  callbacks.log_message = say_nothing;
  const std::array<const char*, 11> settings = {"listening_ports",
                                                options.listen.c_str(),
                                                "num_threads",
                                                "2",
                                                "request_timeout_ms",
                                                "5000",
                                                "max_request_size",
                                                "16384",
                                                "enable_directory_listing",
                                                "no",
                                                nullptr};
  mg_init_data start = {};
  start.callbacks = &callbacks;
  start.configuration_options = const_cast<const char**>(settings.data());
  std::array<char, 256> reason = {};
  mg_error_data error = {};
  error.text = reason.data();
  error.text_buffer_size = reason.size();
  parts_->context = mg_start2(&start, &error);
  if (parts_->context == nullptr) {
    mg_exit_library();
    const std::string_view why = reason.data();
    throw ConfigError(
        "cannot serve metrics on " + options.listen + ": " +
        (why.empty() ? "the address is in use or not of this host" : std::string(why)));
  }
}

/// The library looks every two seconds whether it is to end, or whenever somebody comes.
MetricsServer::~MetricsServer() {
  const int own_port = port();
  std::atomic<bool> has_stopped = false;
  std::thread stop([&] {
    mg_stop(parts_->context);
    has_stopped = true;
  });
  while (!has_stopped) {
    knock(parts_->host, own_port);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  stop.join();
  mg_exit_library();
}

int MetricsServer::port() const {
  std::array<mg_server_port, 2> ports = {};
  const int count = mg_get_server_ports(parts_->context, ports.size(), ports.data());
  HETMOE_CHECK(count > 0, "the metrics server listens nowhere");
  return ports[0].port;
}

MetricsServer::Served MetricsServer::serve(MetricsPage page) {
  return std::make_shared<Serving>(parts_->context, std::move(page), parts_->token);
}

}  // namespace hetmoe
