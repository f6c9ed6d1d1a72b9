#include "runtime/coordinator/network/coordinator_server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <chrono>
#include <mutex>

#include "runtime/coordinator/limits.h"
#include "runtime/coordinator/network/certificate_checks.h"
#include "runtime/coordinator/network/coordinator_service.h"
#include "runtime/coordinator/network/network_address.h"
#include "runtime/coordinator/network/quiet_libraries.h"

namespace hetmoe {
namespace {

constexpr std::chrono::seconds kShutdownGrace(1);
constexpr int kKeepaliveMilliseconds = 60'000;  // finds clients that are gone without a word
constexpr int kKeepaliveTimeoutMilliseconds = 20'000;
constexpr int kShortestPingMilliseconds = 5'000;  // well below our clients' 20 s
constexpr int kHandshakeMilliseconds = 10'000;
constexpr int kCallsOfConnection = 64;

[[noreturn]] void refuse(const std::string& listen, const std::string& fault) {
  throw CoordinatorError(CoordinatorFault::kInvalid,
                         "coordinator cannot listen on '" + listen + "': " + fault);
}

void check_credentials(const ServerCredentials& credentials) {
  require_token(credentials.token);
  if (!credentials.certificate.empty() || !credentials.private_key.empty()) {
    require_key_pair(credentials.certificate, credentials.private_key, "certificate");
  }
  if (credentials.client_authority.empty()) return;
  require_certificate(credentials.client_authority, "client authority");
  if (credentials.certificate.empty()) {
    throw CoordinatorError(CoordinatorFault::kInvalid,
                           "client authority: mutual TLS needs a certificate of the coordinator");
  }
}

void check_listen(const ServerOptions& options) {
  if (!parse_network_address(options.listen)) refuse(options.listen, "allowed is HOST:PORT");
  if (options.credentials.certificate.empty() && !options.insecure &&
      !is_loopback(options.listen)) {
    refuse(options.listen,
           "plaintext beyond loopback; allowed with a certificate, or when insecure is asked for");
  }
}

std::shared_ptr<grpc::ServerCredentials> grpc_credentials(const ServerCredentials& credentials) {
  // The token is checked by the service itself, for both alike.
  if (credentials.certificate.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(
      credentials.client_authority.empty()
          ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
          : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_key_cert_pairs.push_back({credentials.private_key, credentials.certificate});
  options.pem_root_certs = credentials.client_authority;
  return grpc::SslServerCredentials(options);
}

void set_limits(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(coordinator_limits::kMessageBytes);
  // Else two coordinators share a port and each gets half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kShortestPingMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kCallsOfConnection);
}

}  // namespace

struct CoordinatorServer::Parts {
  Parts(Coordinator& coordinator, const std::string& token) : service(coordinator, token) {}

  CoordinatorService service;  // must outlive the server
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  std::mutex shutting_down;
  bool is_down = false;
};

CoordinatorServer::CoordinatorServer(Coordinator& coordinator, const ServerOptions& options) {
  silence_libraries();
  check_listen(options);
  check_credentials(options.credentials);
  parts_ = std::make_unique<Parts>(coordinator, options.credentials.token);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  set_limits(builder);
  builder.AddListeningPort(options.listen, grpc_credentials(options.credentials), &parts_->port);
  builder.RegisterService(&parts_->service);
  parts_->server = builder.BuildAndStart();
  if (parts_->server == nullptr || parts_->port == 0) {
    const std::string fault = listening_fault(*parse_network_address(options.listen));
    refuse(options.listen, fault.empty() ? "gRPC gives no reason" : fault);
  }
  parts_->server->GetHealthCheckService()->SetServingStatus(v1::Coordinator::service_full_name(),
                                                            true);
}

CoordinatorServer::~CoordinatorServer() { shut_down(); }

int CoordinatorServer::port() const { return parts_->port; }

void CoordinatorServer::shut_down() {
  const std::lock_guard lock(parts_->shutting_down);
  if (parts_->is_down) return;
  parts_->server->GetHealthCheckService()->Shutdown();  // NOT_SERVING, for good
  parts_->service.end_watches();
  parts_->server->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
  parts_->is_down = true;
}

}  // namespace hetmoe
