#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "runtime/coordinator/network/coordinator_client.h"
#include "runtime/coordinator/network/coordinator_server.h"
#include "tests/unit/coordinator/fake_coordinator.h"
#include "tests/unit/coordinator/sample_messages.h"
#include "tests/unit/coordinator/wire_support.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

constexpr double kShortSeconds = 3;  // after which a join that waits gives up

/// What `client` is refused with by a server that knows `credentials`.
Refusal refusal_between(const ServerCredentials& credentials, const ClientCredentials& client) {
  FakeCoordinator fake;
  const CoordinatorServer server(fake, {.credentials = credentials});
  CoordinatorClient caller(loopback(server.port()), client, kPatienceSeconds);
  Refusal refusal = refusal_of([&] { caller.status(); });
  EXPECT_EQ(fake.calls, refusal.words.empty() ? 1 : 0);
  if (!refusal.words.empty()) {
    EXPECT_THAT(refusal.words, HasSubstr(loopback(server.port())));
    EXPECT_THAT(refusal.words, Not(HasSubstr("\n")));
    EXPECT_THAT(refusal.words, Not(HasSubstr("secret-word")));
    EXPECT_THAT(refusal.words, Not(HasSubstr("PRIVATE KEY")));
  }
  return refusal;
}

class SecureWire : public testing::Test {
 protected:
  const CertificatePair pair = make_certificate("127.0.0.1");
  const CertificatePair other = make_certificate("127.0.0.1");
  const ServerCredentials server{
      .token = "secret-word", .certificate = pair.certificate, .private_key = pair.private_key};
  const ClientCredentials client{.token = "secret-word",
                                 .authority = pair.certificate,
                                 .server_name = std::string(kCertificateName)};
};

TEST_F(SecureWire, the_run_s_certificate_and_token_let_in) {
  EXPECT_EQ(refusal_between(server, client).words, "");
}

TEST_F(SecureWire, without_a_server_name_the_host_is_checked) {
  ClientCredentials by_host = client;
  by_host.server_name.clear();
  EXPECT_EQ(refusal_between(server, by_host).words, "");

  const CertificatePair elsewhere = make_certificate("192.0.2.1");
  ServerCredentials moved = server;
  moved.certificate = elsewhere.certificate;
  moved.private_key = elsewhere.private_key;
  by_host.authority = elsewhere.certificate;
  const Refusal refusal = refusal_between(moved, by_host);
  EXPECT_THAT(refusal.fault,
              AnyOf(CoordinatorFault::kUnauthenticated, CoordinatorFault::kUnreachable));
  EXPECT_FALSE(refusal.words.empty());
}

TEST_F(SecureWire, another_server_name_is_refused) {
  ClientCredentials misled = client;
  misled.server_name = "other-coordinator";
  const Refusal refusal = refusal_between(server, misled);
  EXPECT_EQ(refusal.fault, CoordinatorFault::kUnauthenticated);
  EXPECT_THAT(refusal.words, HasSubstr("another name"));
}

TEST_F(SecureWire, the_token_is_asked_for_over_tls_too) {
  ClientCredentials wrong = client;
  wrong.token = "other-word";
  EXPECT_EQ(refusal_between(server, wrong).fault, CoordinatorFault::kUnauthenticated);
}

TEST_F(SecureWire, a_certificate_that_another_one_vouches_for_is_refused) {
  ClientCredentials wrong = client;
  wrong.authority = other.certificate;
  const Refusal refusal = refusal_between(server, wrong);
  EXPECT_EQ(refusal.fault, CoordinatorFault::kUnauthenticated);
  EXPECT_THAT(refusal.words, HasSubstr("certificate"));
}

TEST_F(SecureWire, an_expired_certificate_is_refused) {
  const CertificatePair expired = make_certificate("127.0.0.1", 0);  // an hour ago
  const Refusal refusal = refusal_between({.token = "secret-word",
                                           .certificate = expired.certificate,
                                           .private_key = expired.private_key},
                                          {.token = "secret-word",
                                           .authority = expired.certificate,
                                           .server_name = std::string(kCertificateName)});
  EXPECT_EQ(refusal.fault, CoordinatorFault::kUnauthenticated);
  EXPECT_THAT(refusal.words, HasSubstr("expired"));
}

TEST_F(SecureWire, plaintext_and_tls_do_not_meet) {
  const Refusal plain = refusal_between(server, {.token = "secret-word"});
  EXPECT_EQ(plain.fault, CoordinatorFault::kUnreachable);
  EXPECT_THAT(plain.words, HasSubstr("wants TLS"));
  const Refusal secure = refusal_between({.token = "secret-word"}, client);
  EXPECT_EQ(secure.fault, CoordinatorFault::kUnreachable);
  EXPECT_THAT(secure.words, HasSubstr("does not speak TLS"));
}

TEST_F(SecureWire, strangers_make_nobody_write_on_standard_error) {
  FakeCoordinator fake;
  CoordinatorServer listening(fake, {.credentials = server});
  testing::internal::CaptureStderr();
  send_bytes(listening.port(), std::string(1000, '\xFF'));
  ClientCredentials wrong = client;
  wrong.authority = other.certificate;
  CoordinatorClient caller(loopback(listening.port()), wrong, kPatienceSeconds);
  refusal_of([&] { caller.status(); });
  listening.shut_down();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(SecureWire, a_join_that_waits_still_learns_that_the_certificate_is_wrong) {
  FakeCoordinator fake;
  const CoordinatorServer listening(fake, {.credentials = server});
  ClientCredentials wrong = client;
  wrong.authority = other.certificate;
  CoordinatorClient caller(loopback(listening.port()), wrong, kShortSeconds);
  const Refusal refusal = refusal_of([&] { caller.join(sample_join()); });
  EXPECT_EQ(refusal.fault, CoordinatorFault::kUnauthenticated);
}

TEST_F(SecureWire, mutual_tls_lets_in_whom_the_authority_has_signed_and_nobody_else) {
  ServerCredentials mutual = server;
  mutual.client_authority = other.certificate;
  ClientCredentials known = client;
  known.certificate = other.certificate;
  known.private_key = other.private_key;
  EXPECT_EQ(refusal_between(mutual, known).words, "");

  EXPECT_THAT(refusal_between(mutual, client).words, HasSubstr("client's certificate"));

  const CertificatePair stranger = make_certificate("127.0.0.1");
  ClientCredentials unknown = client;
  unknown.certificate = stranger.certificate;
  unknown.private_key = stranger.private_key;
  EXPECT_THAT(refusal_between(mutual, unknown).words, HasSubstr("client's certificate"));
}

TEST_F(SecureWire, beyond_loopback_a_certificate_is_enough) {
  FakeCoordinator fake;
  const CoordinatorServer listening(fake, {.listen = "0.0.0.0:0", .credentials = server});
  CoordinatorClient caller(loopback(listening.port()), client, kPatienceSeconds);
  EXPECT_NO_THROW(caller.status());
}

TEST_F(SecureWire, credentials_that_cannot_work_are_refused_at_the_start_without_showing_them) {
  FakeCoordinator fake;
  ServerCredentials crossed = server;
  crossed.private_key = other.private_key;
  ServerCredentials keyless = server;
  keyless.private_key.clear();
  ServerCredentials garbled = server;
  garbled.certificate = "-----BEGIN CERTIFICATE-----\nsecret-word\n-----END CERTIFICATE-----\n";
  ServerCredentials half_mutual = {.client_authority = other.certificate};
  for (const ServerCredentials& bad : {crossed, keyless, garbled, half_mutual}) {
    const Refusal refusal = refusal_of([&] { CoordinatorServer(fake, {.credentials = bad}); });
    EXPECT_THAT(refusal.words, AllOf(AnyOf(HasSubstr("certificate"), HasSubstr("key")),
                                     Not(HasSubstr("secret-word")), Not(HasSubstr("BEGIN"))));
  }
  ClientCredentials unsigned_client = client;
  unsigned_client.authority = "nothing";
  EXPECT_THAT(refusal_of([&] { CoordinatorClient("127.0.0.1:1", unsigned_client); }).words,
              HasSubstr("certificate"));
  ClientCredentials crossed_client = client;
  crossed_client.certificate = pair.certificate;
  crossed_client.private_key = other.private_key;
  EXPECT_THAT(refusal_of([&] { CoordinatorClient("127.0.0.1:1", crossed_client); }).words,
              HasSubstr("client certificate"));
}

}  // namespace
}  // namespace hetmoe
