#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "runtime/coordinator/network/coordinator.pb.h"
#include "runtime/coordinator/network/coordinator_server.h"
#include "tests/unit/coordinator/fake_coordinator.h"
#include "tests/unit/coordinator/raw_client.h"
#include "tests/unit/coordinator/wire_support.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kService = "/hetmoe.v1.Coordinator/";
const std::string kHealth = "/grpc.health.v1.Health/";
const std::string kBearer = "Bearer secret-word";

// HealthCheckRequest{service = 1}, HealthCheckResponse{status = 1} of grpc.health.v1, by hand.
const std::string kServing = "\x08\x01";
const std::string kNotServing = "\x08\x02";

std::string health_request(const std::string& service) {
  return service.empty() ? ""
                         : "\x0A" + std::string(1, static_cast<char>(service.size())) + service;
}

class RawWire : public testing::Test {
 protected:
  FakeCoordinator fake;
  CoordinatorServer server{fake, {.credentials = {.token = "secret-word"}}};
  RawClient client{loopback(server.port())};
};

TEST_F(RawWire, a_message_of_1_mib_is_read_and_one_of_2_mib_refused_and_the_server_lives_on) {
  // Field 15 is unknown to Status and skipped; its length takes four bytes.
  const auto padded = [](std::size_t bytes) {
    const std::size_t payload = bytes - 5;
    std::string message = "\x7A";
    for (int shift = 0; shift < 28; shift += 7) {
      const auto part = static_cast<char>((payload >> shift) & 0x7F);
      message += static_cast<char>(part | (shift < 21 ? 0x80 : 0));
    }
    return message + std::string(payload, 'x');
  };
  EXPECT_TRUE(client.call(kService + "Status", padded(1 << 20), nullptr, kBearer).ok());
  EXPECT_EQ(fake.calls, 1);
  EXPECT_EQ(client.call(kService + "Status", padded((1 << 20) + 1), nullptr, kBearer).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(client.call(kService + "Status", padded(2 << 20), nullptr, kBearer).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(fake.calls, 1);
  EXPECT_TRUE(client.call(kService + "Status", "", nullptr, kBearer).ok());
}

TEST_F(RawWire, the_server_itself_checks_bounds_and_tokens) {
  v1::JoinRequest join;
  join.mutable_member();
  join.set_host(std::string(300, 'h'));
  const grpc::Status status =
      client.call(kService + "Join", join.SerializeAsString(), nullptr, kBearer);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), AllOf(HasSubstr("host"), HasSubstr("255")));

  for (const std::string authorization :
       {"", "secret-word", "bearer secret-word", "Bearer", "Bearer secret-word ", "Bearer x"}) {
    EXPECT_EQ(client.call(kService + "Status", "", nullptr, authorization).error_code(),
              grpc::StatusCode::UNAUTHENTICATED)
        << authorization;
  }
  EXPECT_EQ(fake.calls, 0);
}

TEST_F(RawWire, bytes_that_are_no_message_are_refused_and_the_server_lives_on) {
  for (const std::string& bytes :
       {std::string("\x0A\xFF\xFF\xFF\xFF\x0F"), std::string(1000, '\xFF'),
        std::string("\x0A\x05\x0A\x03\xFF\xFE\xFD")}) {
    EXPECT_FALSE(client.call(kService + "Join", bytes, nullptr, kBearer).ok());
  }
  EXPECT_EQ(fake.calls, 0);
  EXPECT_EQ(client.call(kService + "Dance", "", nullptr, kBearer).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_TRUE(client.call(kService + "Status", "", nullptr, kBearer).ok());
}

TEST_F(RawWire, health_checks_need_no_token_and_know_the_service_by_name) {
  for (const std::string service : {"", "hetmoe.v1.Coordinator"}) {
    std::string reply;
    EXPECT_TRUE(client.call(kHealth + "Check", health_request(service), &reply).ok());
    EXPECT_EQ(reply, kServing) << service;
  }
  EXPECT_EQ(client.call(kHealth + "Check", health_request("other"), nullptr).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(RawWire, who_watches_the_health_hears_of_the_shutdown_before_it) {
  std::vector<std::string> heard;
  std::thread shutting_down;
  client.stream(kHealth + "Watch", health_request("hetmoe.v1.Coordinator"),
                [&](const std::string& reply) {
                  heard.push_back(reply);
                  if (heard.size() == 1) {
                    shutting_down = std::thread([&] { server.shut_down(); });
                  }
                });
  if (shutting_down.joinable()) shutting_down.join();
  EXPECT_THAT(heard, testing::ElementsAre(kServing, kNotServing));
}

}  // namespace
}  // namespace hetmoe
