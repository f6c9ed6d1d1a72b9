#pragma once

// Private: shows gRPC.
#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "runtime/coordinator/network/credentials.h"

namespace hetmoe {

/// Not connected yet; it connects, and connects again, when it is used. Errors: CoordinatorError
/// (kInvalid): no HOST:PORT, credentials that nobody could use.
std::shared_ptr<grpc::Channel> make_channel(const std::string& address,
                                            const ClientCredentials& credentials);

}  // namespace hetmoe
