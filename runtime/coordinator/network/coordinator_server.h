#pragma once

#include <memory>
#include <string>

#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/network/credentials.h"

namespace hetmoe {

struct ServerOptions {
  std::string listen = "127.0.0.1:0";  ///< HOST:PORT; port 0: any free one
  ServerCredentials credentials;
  bool insecure = false;  ///< plaintext beyond loopback is wanted
};

/// Serves a Coordinator by gRPC, together with grpc.health.v1. Calls need "authorization: Bearer
/// TOKEN"; health checks do not. The coordinator must outlive it.
class CoordinatorServer {
 public:
  /// Listens when it returns. Errors: CoordinatorError that names the address: in use, not of this
  /// host, or beyond loopback in plaintext without `insecure`.
  CoordinatorServer(Coordinator& coordinator, const ServerOptions& options);
  /// As shut_down.
  ~CoordinatorServer();
  CoordinatorServer(const CoordinatorServer&) = delete;
  CoordinatorServer& operator=(const CoordinatorServer&) = delete;

  int port() const;

  /// Says NOT_SERVING, lets calls end for up to a second, cancels the rest. Blocking; from an
  /// ordinary thread, never from a signal handler. To call it twice is harmless.
  void shut_down();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// Whether HOST of "HOST:PORT" reaches this machine only: 127.0.0.0/8, ::1 or localhost.
bool is_loopback(const std::string& address);

/// HOST of "HOST:PORT" as others reach it: a wildcard stands for this machine's name.
std::string reachable_host(const std::string& address);

}  // namespace hetmoe
