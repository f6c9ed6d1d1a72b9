#include "runtime/coordinator/network/call_status.h"

#include <algorithm>
#include <string_view>

#include "core/base/check.h"
#include "core/data/utf8.h"

namespace hetmoe {
namespace {

// It travels in a header, and all headers together may have 8 KiB.
constexpr std::size_t kLongestWords = 1024;

std::string one_line(std::string text) {
  text.resize(utf8_cut(text, std::min(text.size(), kLongestWords)));
  std::replace_if(
      text.begin(), text.end(),
      [](unsigned char letter) { return letter < 0x20 || letter == 0x7F; }, ' ');
  return text;
}

grpc::StatusCode code_of(CoordinatorFault fault) {
  switch (fault) {
    case CoordinatorFault::kUnreachable:
      return grpc::StatusCode::UNAVAILABLE;
    case CoordinatorFault::kUnauthenticated:
      return grpc::StatusCode::UNAUTHENTICATED;
    case CoordinatorFault::kInvalid:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case CoordinatorFault::kStale:
      return grpc::StatusCode::FAILED_PRECONDITION;
    case CoordinatorFault::kNotJoined:
      return grpc::StatusCode::ABORTED;
  }
  HETMOE_CHECK(false, "no such fault: ", static_cast<int>(fault));
  return grpc::StatusCode::INTERNAL;
}

/// What gRPC says of a connection that failed, and what a person should hear before it.
struct Hint {
  std::string_view mark;
  CoordinatorFault fault;
  const char* text;
};

// A wrong certificate does not mend itself, whereas a connection may also be closed because the
// coordinator is just going away.
constexpr Hint kHints[] = {
    {"certificate verify failed", CoordinatorFault::kUnauthenticated,
     "has another certificate than expected, or an expired one"},
    {"CERTIFICATE_VERIFY_FAILED", CoordinatorFault::kUnauthenticated,
     "has another certificate than expected, or an expired one"},
    {"is not in peer certificate", CoordinatorFault::kUnauthenticated,
     "has a certificate for another name"},
    {"wrong version number", CoordinatorFault::kUnreachable, "does not speak TLS, as was expected"},
    {"Socket closed", CoordinatorFault::kUnreachable,
     "hung up: it is ending, or wants TLS or a client's certificate"},
};

CoordinatorError not_reached(const std::string& name, const std::string& words) {
  for (const Hint& hint : kHints) {
    if (words.find(hint.mark) != std::string::npos) {
      return {hint.fault, name + " " + hint.text + ": " + words};
    }
  }
  return {CoordinatorFault::kUnreachable, name + " cannot be reached: " + words};
}

CoordinatorFault fault_of(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return CoordinatorFault::kUnauthenticated;
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::NOT_FOUND:
      return CoordinatorFault::kInvalid;
    case grpc::StatusCode::FAILED_PRECONDITION:
      return CoordinatorFault::kStale;
    case grpc::StatusCode::ABORTED:
      return CoordinatorFault::kNotJoined;
    default:
      // INTERNAL among them: a coordinator whose disk is full may have room again later.
      return CoordinatorFault::kUnreachable;
  }
}

}  // namespace

grpc::Status status_of(const std::exception& error) {
  const auto* known = dynamic_cast<const CoordinatorError*>(&error);
  const auto code = known != nullptr ? code_of(known->fault()) : grpc::StatusCode::INTERNAL;
  return {code, one_line(describe(error))};
}

CoordinatorError error_of(const grpc::Status& status, const std::string& address) {
  const std::string name = "coordinator " + address;
  const std::string words = one_line(status.error_message());
  const CoordinatorFault fault = fault_of(status.error_code());
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return {fault, name + " did not answer in time"};
    case grpc::StatusCode::CANCELLED:
      return {fault, name + ": the call was cancelled"};
    case grpc::StatusCode::UNAVAILABLE:
      return not_reached(name, words);
    default:
      return {fault, name + ": " + (words.empty() ? "no reason given" : words)};
  }
}

}  // namespace hetmoe
