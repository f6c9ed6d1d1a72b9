// The first byte picks one of the coordinator's messages, the rest is its body as it may come from
// the network. It is refused by a CoordinatorError of one line, or means the same after being
// written and read again.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "runtime/coordinator/network/messages.h"
#include "runtime/coordinator/request_checks.h"

namespace hetmoe {
namespace {

/// What a coordinator does with a request before it acts on it.
template <typename Value>
void check(const Value& value) {
  if constexpr (requires { check_bounds(value); }) check_bounds(value);
}

template <typename Message>
void receive(std::string_view body) {
  Message message;
  if (!message.ParseFromArray(body.data(), static_cast<int>(body.size()))) return;
  const auto value = decode(message);
  const std::string written = encode(value).SerializeAsString();
  Message again;
  HETMOE_CHECK(again.ParseFromString(written), "what was written cannot be parsed");
  HETMOE_CHECK(encode(decode(again)).SerializeAsString() == written, "another when read again");
  check(value);
}

using Receive = void (*)(std::string_view);
constexpr Receive kMessages[] = {
    receive<v1::JoinRequest>,
    receive<v1::JoinReply>,
    receive<v1::HeartbeatRequest>,
    receive<v1::HeartbeatReply>,
    receive<v1::ReportStepRequest>,
    receive<v1::PrepareCheckpointRequest>,
    receive<v1::PrepareCheckpointReply>,
    receive<v1::CommitCheckpointRequest>,
    receive<v1::CommandRequest>,
    receive<v1::CommandReply>,
    receive<v1::StatusReply>,
};

}  // namespace
}  // namespace hetmoe

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(input) + 1, size - 1);
  try {
    hetmoe::kMessages[input[0] % std::size(hetmoe::kMessages)](body);
  } catch (const hetmoe::CoordinatorError& error) {
    HETMOE_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos,
                 "an error of several lines");
  }
  return 0;
}
