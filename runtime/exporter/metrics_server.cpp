#include "runtime/exporter/metrics_server.h"

#include <httplib.h>

#include <thread>
#include <utility>

#include "core/base/error.h"
#include "runtime/exporter/served_pages.h"

namespace hetmoe {
namespace {

constexpr std::size_t kThreads = 4;
constexpr time_t kPatienceSeconds = 2;
constexpr std::size_t kMostRequestBytes = 16 << 10;

/// HOST of HOST:PORT.
std::string host_of(const std::string& listen) {
  const std::string host = listen.substr(0, listen.rfind(':'));
  return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

int port_of(const std::string& listen) { return std::stoi(listen.substr(listen.rfind(':') + 1)); }

/// The library would let another process take the same port.
void only_ours(int socket) {
  const int yes = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
}

std::unique_ptr<httplib::Server> make_server(const CertificatePair& pair) {
  if (pair.certificate.empty()) return std::make_unique<httplib::Server>();
  return std::make_unique<httplib::SSLServer>(
      [&pair](SSL_CTX& context) { return use_certificate(pair, context); });
}

bool may_read(const httplib::Request& request, const std::string& token) {
  return token.empty() || same_secret(request.get_header_value("Authorization"), "Bearer " + token);
}

void respond(const httplib::Request& request, const std::string& token, ServedPages& pages,
             httplib::Response& response) {
  response.set_header("Cache-Control", "no-store");
  if (request.method != "GET" && request.method != "HEAD") {
    response.status = 405;
    response.set_header("Allow", "GET, HEAD");
  } else if (!may_read(request, token)) {
    response.status = 401;
    response.set_header("WWW-Authenticate", "Bearer");
  } else {
    Answer answer = pages.answer(request.path);
    response.status = answer.status;
    if (answer.status == 200) response.set_content(answer.body, answer.content_type);
  }
}

}  // namespace

struct MetricsServer::Parts {
  std::shared_ptr<ServedPages> pages = std::make_shared<ServedPages>();
  std::unique_ptr<httplib::Server> server;
  int port = 0;
  std::thread listener;
};

MetricsServer::MetricsServer(const MetricsServerOptions& options)
    : parts_(std::make_unique<Parts>()) {
  parts_->server = make_server(options.pair);
  httplib::Server& server = *parts_->server;
  const auto refuse = [&](const std::string& why) {
    throw ConfigError("cannot serve metrics on " + options.listen + ": " + why);
  };
  if (!server.is_valid()) refuse("its certificate or its key is none");
  server.set_socket_options(only_ours);
  server.set_keep_alive_max_count(1);
  server.set_keep_alive_timeout(kPatienceSeconds);
  server.set_read_timeout(kPatienceSeconds);
  server.set_write_timeout(kPatienceSeconds);
  server.set_payload_max_length(kMostRequestBytes);
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };  // the library's to end
  server.set_pre_routing_handler(
      [token = options.token, pages = parts_->pages](const auto& request, auto& response) {
        respond(request, token, *pages, response);
        return httplib::Server::HandlerResponse::Handled;
      });
  const std::string host = host_of(options.listen);
  parts_->port = port_of(options.listen);
  const bool has_bound = parts_->port > 0 ? server.bind_to_port(host, parts_->port)
                                          : (parts_->port = server.bind_to_any_port(host)) > 0;
  if (!has_bound) refuse("the address is in use or not of this host");
  parts_->listener = std::thread([&server] { server.listen_after_bind(); });
  while (!server.is_running())
    std::this_thread::yield();  // what is not yet running cannot be ended
}

MetricsServer::~MetricsServer() {
  parts_->server->stop();
  parts_->listener.join();
}

int MetricsServer::port() const { return parts_->port; }

MetricsServer::Served MetricsServer::serve(MetricsPage page) {
  return std::make_shared<Serving>(parts_->pages, std::move(page));
}

}  // namespace hetmoe
