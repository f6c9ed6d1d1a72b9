#pragma once

namespace hetmoe {

/// gRPC and Protobuf write on standard error what they also return, and strangers on the network
/// can make them write without end. From now on they do not, for the whole process, unless the
/// variable GRPC_VERBOSITY of the environment asks for it. What is about to abort is still said.
void silence_libraries();

}  // namespace hetmoe
