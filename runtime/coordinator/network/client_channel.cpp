#include "runtime/coordinator/network/client_channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/limits.h"
#include "runtime/coordinator/network/certificate_checks.h"
#include "runtime/coordinator/network/network_address.h"

namespace hetmoe {
namespace {

constexpr int kKeepaliveMilliseconds = 20'000;
constexpr int kKeepaliveTimeoutMilliseconds = 10'000;
constexpr int kFirstReconnectMilliseconds = 200;
constexpr int kLastReconnectMilliseconds = 2'000;
constexpr int kConnectMilliseconds = 5'000;
constexpr int kResolveAgainMilliseconds = 1'000;

void check_address(const std::string& address) {
  const auto parsed = parse_network_address(address);
  if (parsed && parsed->port != 0) return;
  throw CoordinatorError(CoordinatorFault::kInvalid,
                         "coordinator address '" + address + "': allowed is HOST:PORT");
}

void check_credentials(const ClientCredentials& credentials) {
  require_token(credentials.token);
  if (!credentials.authority.empty()) require_certificate(credentials.authority, "certificate");
  if (credentials.certificate.empty() && credentials.private_key.empty()) return;
  require_key_pair(credentials.certificate, credentials.private_key, "client certificate");
  if (credentials.authority.empty()) {
    throw CoordinatorError(CoordinatorFault::kInvalid,
                           "client certificate: mutual TLS needs the coordinator's certificate");
  }
}

std::shared_ptr<grpc::ChannelCredentials> grpc_credentials(const ClientCredentials& credentials) {
  if (credentials.authority.empty()) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials({.pem_root_certs = credentials.authority,
                               .pem_private_key = credentials.private_key,
                               .pem_cert_chain = credentials.certificate});
}

grpc::ChannelArguments arguments_for(const ClientCredentials& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(coordinator_limits::kStatusBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMilliseconds);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // as many as needed
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMilliseconds);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLastReconnectMilliseconds);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectMilliseconds);
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kResolveAgainMilliseconds);
  // A cluster's proxy for the web does not lead to its own hosts.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  // Else clients of one process share a connection, and what befalls it.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  if (!credentials.authority.empty() && !credentials.server_name.empty()) {
    arguments.SetSslTargetNameOverride(credentials.server_name);
  }
  return arguments;
}

}  // namespace

std::shared_ptr<grpc::Channel> make_channel(const std::string& address,
                                            const ClientCredentials& credentials) {
  check_address(address);
  check_credentials(credentials);
  return grpc::CreateCustomChannel("dns:///" + address, grpc_credentials(credentials),
                                   arguments_for(credentials));
}

}  // namespace hetmoe
