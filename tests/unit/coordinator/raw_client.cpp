#include "tests/unit/coordinator/raw_client.h"

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>

#include <chrono>
#include <future>
#include <vector>

namespace hetmoe {
namespace {

grpc::ByteBuffer buffer_of(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

std::string bytes_of(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

/// Waits for the one operation that is under way; whether it succeeded.
bool next(grpc::CompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  return queue.Next(&tag, &ok) && ok;
}

}  // namespace

RawClient::RawClient(const std::string& address)
    : channel_(grpc::CreateChannel("dns:///" + address, grpc::InsecureChannelCredentials())) {}

grpc::Status RawClient::call(const std::string& method, const std::string& request,
                             std::string* reply, const std::string& authorization) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
  if (!authorization.empty()) context.AddMetadata("authorization", authorization);
  const grpc::ByteBuffer sent = buffer_of(request);
  grpc::ByteBuffer received;
  std::promise<grpc::Status> ended;
  grpc::GenericStub(channel_).UnaryCall(
      &context, method, {}, &sent, &received,
      [&ended](grpc::Status status) { ended.set_value(std::move(status)); });
  const grpc::Status status = ended.get_future().get();
  if (status.ok() && reply != nullptr) *reply = bytes_of(received);
  return status;
}

grpc::Status RawClient::stream(const std::string& method, const std::string& request,
                               const std::function<void(const std::string&)>& take) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(1));
  grpc::CompletionQueue queue;
  const auto call = grpc::GenericStub(channel_).PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  bool goes_on = next(queue);
  if (goes_on) {
    call->WriteLast(buffer_of(request), {}, nullptr);
    goes_on = next(queue);
  }
  while (goes_on) {
    grpc::ByteBuffer received;
    call->Read(&received, nullptr);
    goes_on = next(queue);
    if (goes_on) take(bytes_of(received));
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  next(queue);
  queue.Shutdown();
  return status;
}

}  // namespace hetmoe
