#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <memory>
#include <string>

namespace hetmoe {

/// Speaks gRPC without our client and without the protocol's code: bytes in, bytes out. Plaintext.
class RawClient {
 public:
  explicit RawClient(const std::string& address);

  /// One call, up to a minute. `method`: "/package.Service/Method".
  grpc::Status call(const std::string& method, const std::string& request, std::string* reply,
                    const std::string& authorization = "");

  /// A stream of replies, each given to `take`, until it ends.
  grpc::Status stream(const std::string& method, const std::string& request,
                      const std::function<void(const std::string&)>& take);

 private:
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace hetmoe
