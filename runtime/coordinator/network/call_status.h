#pragma once

// Private: shows gRPC.
#include <grpcpp/support/status.h>

#include <exception>
#include <string>

#include "runtime/coordinator/coordinator.h"

namespace hetmoe {

/// What a handler's exception becomes on the wire: one line, bounded.
grpc::Status status_of(const std::exception& error);

/// And what a failed call becomes at the caller's, `address` being the coordinator's. What the
/// other side says is kept, as one line of printable text.
CoordinatorError error_of(const grpc::Status& status, const std::string& address);

}  // namespace hetmoe
