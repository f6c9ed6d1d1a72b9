#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/coordinator/network/coordinator_client.h"
#include "runtime/coordinator/network/coordinator_server.h"
#include "tests/unit/coordinator/fake_coordinator.h"
#include "tests/unit/coordinator/sample_messages.h"
#include "tests/unit/coordinator/wire_support.h"

namespace hetmoe {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Wire : public testing::Test {
 protected:
  void TearDown() override { gate.open(); }

  Gate gate;  // outlives whoever waits in it
  FakeCoordinator fake;
  CoordinatorServer server{fake, {.credentials = {.token = "secret-word"}}};
  const std::string address = loopback(server.port());
  CoordinatorClient client{address, {.token = "secret-word"}, kPatienceSeconds};
};

TEST_F(Wire, every_call_carries_every_field_both_ways) {
  fake.join_reply = {.generation = 5};
  EXPECT_EQ(client.join(sample_join()).generation, 5);
  expect_same(fake.asked_join, sample_join());

  fake.heartbeat_reply = {sample_commands()};
  expect_same(client.heartbeat(sample_heartbeat()).commands, sample_commands());
  expect_same(fake.asked_heartbeat, sample_heartbeat());

  client.report_step(sample_step());
  expect_same(fake.asked_step, sample_step());

  fake.prepare_reply = {.agreed = true, .prepared_ranks = 2};
  const PrepareReply prepared = client.prepare_checkpoint(sample_shard());
  EXPECT_TRUE(prepared.agreed);
  EXPECT_EQ(prepared.prepared_ranks, 2);
  expect_same(fake.asked_shard, sample_shard());

  client.commit_checkpoint(sample_commit());
  expect_same(fake.asked_commit, sample_commit());

  EXPECT_EQ(client.command(CommandKind::kStopAndRequeue).kind, CommandKind::kStopAndRequeue);
  EXPECT_EQ(fake.asked_command, CommandKind::kStopAndRequeue);

  fake.status_reply = sample_status();
  expect_same(client.status(), sample_status());
  EXPECT_EQ(fake.calls, 7);
}

TEST_F(Wire, every_fault_of_the_coordinator_arrives_as_itself_with_its_words) {
  for (const CoordinatorFault fault :
       {CoordinatorFault::kUnreachable, CoordinatorFault::kUnauthenticated,
        CoordinatorFault::kInvalid, CoordinatorFault::kStale, CoordinatorFault::kNotJoined}) {
    fake.work = [fault] { throw CoordinatorError(fault, "rank 9: not that one"); };
    const Refusal refusal = refusal_of([&] { client.status(); });
    EXPECT_EQ(refusal.fault, fault);
    EXPECT_THAT(refusal.words, AllOf(HasSubstr("rank 9: not that one"), HasSubstr(address)));
  }
}

TEST_F(Wire, other_exceptions_arrive_as_one_line_and_the_server_lives_on) {
  fake.work = [] { throw StorageError("cannot write 'a.journal': No space left on device"); };
  Refusal refusal = refusal_of([&] { client.command(CommandKind::kSave); });
  EXPECT_EQ(refusal.fault, CoordinatorFault::kUnreachable);  // room may come: try again
  EXPECT_THAT(refusal.words, HasSubstr("cannot write 'a.journal': No space left on device"));

  fake.work = [] { throw std::runtime_error("first line\nbacktrace"); };
  refusal = refusal_of([&] { client.status(); });
  EXPECT_THAT(refusal.words, AllOf(HasSubstr("first line"), Not(HasSubstr("backtrace"))));

  fake.work = [] { throw 7; };
  EXPECT_THAT(refusal_of([&] { client.status(); }).words, HasSubstr("internal error"));

  fake.work = [] { throw StorageError(std::string(100'000, 'x') + "\n\x01"); };
  EXPECT_LT(refusal_of([&] { client.status(); }).words.size(), 2000U);

  fake.work = nullptr;
  EXPECT_NO_THROW(client.status());
}

TEST_F(Wire, no_token_and_a_wrong_one_are_refused_before_the_coordinator_is_asked) {
  for (const std::string token : {"", "secret-wore", "secret-wor", "secret-word1", "SECRET-WORD"}) {
    CoordinatorClient stranger(address, {.token = token}, kPatienceSeconds);
    const Refusal refusal = refusal_of([&] { stranger.command(CommandKind::kStop); });
    EXPECT_EQ(refusal.fault, CoordinatorFault::kUnauthenticated) << token;
    EXPECT_THAT(refusal.words,
                AllOf(HasSubstr("token"), HasSubstr(address), Not(HasSubstr("secret-wor"))));
    const Refusal watching =
        refusal_of([&] { stranger.watch(1, [](const CoordinatorStatus&) { return false; }); });
    EXPECT_EQ(watching.fault, CoordinatorFault::kUnauthenticated) << token;
  }
  EXPECT_EQ(fake.calls, 0);
}

TEST_F(Wire, a_token_that_no_header_can_hold_is_refused_without_showing_it) {
  for (const std::string token : {"new\nline", "two words", "\xC3\xA4"}) {
    const Refusal refusal = refusal_of([&] { CoordinatorClient(address, {.token = token}); });
    EXPECT_EQ(refusal.fault, CoordinatorFault::kInvalid);
    EXPECT_THAT(refusal.words, AllOf(HasSubstr("token"), Not(HasSubstr(token))));
  }
}

TEST(WireWithoutToken, an_empty_token_of_the_server_asks_for_none) {
  FakeCoordinator fake;
  const CoordinatorServer server(fake, {});
  CoordinatorClient client(loopback(server.port()), {}, kPatienceSeconds);
  EXPECT_NO_THROW(client.status());
}

TEST_F(Wire, a_field_out_of_bounds_is_refused_by_name) {
  Heartbeat heartbeat = sample_heartbeat();
  heartbeat.phase.assign(300, 'x');
  const Refusal refusal = refusal_of([&] { client.heartbeat(heartbeat); });
  EXPECT_EQ(refusal.fault, CoordinatorFault::kInvalid);
  EXPECT_THAT(refusal.words, AllOf(HasSubstr("phase"), HasSubstr("300"), HasSubstr("255")));
  EXPECT_EQ(fake.calls, 0);
}

TEST_F(Wire, a_status_of_65536_ranks_gets_through) {
  fake.status_reply = sample_status();
  const RankStatus model = fake.status_reply.members[0];
  fake.status_reply.members.assign(65'536, model);
  fake.status_reply.silent_ranks.clear();
  for (int rank = 0; rank < 65'536; ++rank) {
    fake.status_reply.members[static_cast<std::size_t>(rank)].rank = rank;
    fake.status_reply.silent_ranks.push_back(rank);
  }
  const CoordinatorStatus status = client.status();
  ASSERT_EQ(status.members.size(), 65'536U);
  EXPECT_EQ(status.members.back().rank, 65'535);
  EXPECT_EQ(status.silent_ranks.size(), 65'536U);
}

TEST_F(Wire, cancel_ends_the_calls_of_other_threads_and_all_later_ones) {
  fake.work = [&] { gate.pass(); };
  Refusal refusal;
  std::thread caller([&] { refusal = refusal_of([&] { client.status(); }); });
  gate.await_arrival();
  client.cancel();
  caller.join();  // while the server still works on it
  gate.open();
  EXPECT_EQ(refusal.fault, CoordinatorFault::kUnreachable);
  EXPECT_THAT(refusal.words, HasSubstr("cancelled"));
  EXPECT_EQ(refusal_of([&] { client.status(); }).fault, CoordinatorFault::kUnreachable);
  EXPECT_EQ(fake.calls, 1);
}

TEST_F(Wire, a_coordinator_that_does_not_answer_is_unreachable_after_the_deadline) {
  fake.work = [&] { gate.pass(); };
  CoordinatorClient hasty(address, {.token = "secret-word"}, 0.2);
  const Refusal refusal = refusal_of([&] { hasty.status(); });
  gate.open();
  EXPECT_EQ(refusal.fault, CoordinatorFault::kUnreachable);
  EXPECT_THAT(refusal.words, AllOf(HasSubstr("did not answer in time"), HasSubstr(address)));
}

TEST_F(Wire, garbage_on_the_port_harms_nobody) {
  for (const std::string& garbage :
       {std::string(100'000, '\xFF'), std::string("GET / HTTP/1.1\r\n\r\n"), std::string(1, '\0'),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string(5000, '\x7F')}) {
    send_bytes(server.port(), garbage);
    EXPECT_NO_THROW(client.status());
  }
}

TEST_F(Wire, the_same_client_finds_a_coordinator_that_came_back) {
  EXPECT_NO_THROW(client.status());
  const int port = server.port();
  server.shut_down();
  EXPECT_EQ(refusal_of([&] { client.status(); }).fault, CoordinatorFault::kUnreachable);
  const CoordinatorServer again(
      fake, {.listen = loopback(port), .credentials = {.token = "secret-word"}});
  EXPECT_TRUE(succeeds_within(kPatienceSeconds, [&] { client.status(); }));
  EXPECT_NO_THROW(client.join(sample_join()));
}

TEST_F(Wire, a_join_waits_for_a_coordinator_that_is_not_there_yet) {
  const int port = server.port();
  server.shut_down();
  std::unique_ptr<CoordinatorServer> again;
  std::thread starter([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    again = std::make_unique<CoordinatorServer>(
        fake, ServerOptions{.listen = loopback(port), .credentials = {.token = "secret-word"}});
  });
  EXPECT_NO_THROW(client.join(sample_join()));
  starter.join();
}

TEST_F(Wire, a_join_to_nobody_says_why_it_failed) {
  server.shut_down();
  CoordinatorClient hasty(address, {.token = "secret-word"}, 0.5);
  const Refusal refusal = refusal_of([&] { hasty.join(sample_join()); });
  EXPECT_EQ(refusal.fault, CoordinatorFault::kUnreachable);
  EXPECT_THAT(refusal.words, AllOf(HasSubstr(address), HasSubstr("refused")));
}

TEST(WireShutdown, twice_is_harmless_and_calls_under_way_end_before_the_server_does) {
  Gate gate;
  FakeCoordinator fake;
  fake.work = [&] { gate.pass(); };
  auto server = std::make_unique<CoordinatorServer>(fake, ServerOptions{});
  CoordinatorClient client(loopback(server->port()), {}, kPatienceSeconds);
  std::thread caller([&] { refusal_of([&] { client.status(); }); });
  gate.await_arrival();
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // beyond the grace
    gate.open();
  });
  server->shut_down();
  server->shut_down();
  server.reset();
  caller.join();
  opener.join();
}

TEST(WireListening, a_port_in_use_and_a_foreign_address_are_named) {
  FakeCoordinator fake;
  const CoordinatorServer server(fake, {});
  const std::string taken = loopback(server.port());
  Refusal refusal = refusal_of([&] { CoordinatorServer(fake, {.listen = taken}); });
  EXPECT_EQ(refusal.fault, CoordinatorFault::kInvalid);
  EXPECT_THAT(refusal.words, AllOf(HasSubstr(taken), HasSubstr("already in use")));

  // TEST-NET-1 of RFC 5737: nobody's.
  refusal =
      refusal_of([&] { CoordinatorServer(fake, {.listen = "192.0.2.1:0", .insecure = true}); });
  EXPECT_THAT(refusal.words, AllOf(HasSubstr("192.0.2.1:0"), HasSubstr("Cannot assign")));
}

TEST(WireListening, plaintext_beyond_loopback_needs_to_be_asked_for) {
  FakeCoordinator fake;
  for (const std::string listen : {"0.0.0.0:0", "[::]:0", "192.0.2.1:0", "localhost.example:0"}) {
    const Refusal refusal = refusal_of([&] { CoordinatorServer(fake, {.listen = listen}); });
    EXPECT_EQ(refusal.fault, CoordinatorFault::kInvalid);
    EXPECT_THAT(refusal.words, AllOf(HasSubstr(listen), HasSubstr("plaintext")));
  }
  const CoordinatorServer server(fake, {.listen = "0.0.0.0:0", .insecure = true});
  EXPECT_GT(server.port(), 0);
}

TEST(WireListening, what_is_not_an_address_is_refused_by_server_and_client) {
  FakeCoordinator fake;
  for (const std::string address :
       {"", "127.0.0.1", ":1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:1x",
        "unix:/tmp/a:1", "a b:1", "[::1:1", "::1:1", "[x]:1", "a/b:1"}) {
    EXPECT_THAT(refusal_of([&] { CoordinatorServer(fake, {.listen = address}); }).words,
                HasSubstr("HOST:PORT"))
        << address;
    EXPECT_THAT(refusal_of([&] { CoordinatorClient(address, {}); }).words, HasSubstr("HOST:PORT"))
        << address;
  }
  EXPECT_THAT(refusal_of([&] { CoordinatorClient("127.0.0.1:0", {}); }).words,
              HasSubstr("HOST:PORT"));
}

TEST(WireListening, loopback_is_told_from_what_only_looks_like_it) {
  for (const char* address : {"127.0.0.1:0", "127.3.4.5:80", "[::1]:0", "localhost:0",
                              "LocalHost:5", "[::ffff:127.0.0.1]:1", "[0:0:0:0:0:0:0:1]:1"}) {
    EXPECT_TRUE(is_loopback(address)) << address;
  }
  for (const char* address :
       {"0.0.0.0:0", "[::]:0", "128.0.0.1:0", "127.0.0.1.example:0", "localhost.example:0",
        "[::2]:0", "[::ffff:10.0.0.1]:1", "127.1:0", "127.0.0.1", "localhost", "", "::1:0"}) {
    EXPECT_FALSE(is_loopback(address)) << address;
  }
}

}  // namespace
}  // namespace hetmoe
