#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
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

class Watch : public testing::Test {
 protected:
  Watch() { fake.status_reply = sample_status(); }

  CoordinatorClient new_client() { return {loopback(server.port()), {}, kPatienceSeconds}; }

  Gate gate;  // outlives whoever waits in it
  FakeCoordinator fake;
  CoordinatorServer server{fake, {}};
  CoordinatorClient client = new_client();
};

TEST_F(Watch, gives_statuses_until_the_caller_has_enough) {
  int taken = 0;
  client.watch(0.2, [&](const CoordinatorStatus& status) {
    expect_same(status, sample_status());
    return ++taken < 3;
  });
  EXPECT_EQ(taken, 3);
  EXPECT_GE(fake.calls, 3);
  EXPECT_NO_THROW(client.status());
}

TEST_F(Watch, the_first_status_does_not_wait_for_the_interval) {
  // A minute; the test would run into its time limit.
  client.watch(60, [](const CoordinatorStatus&) { return false; });
  EXPECT_EQ(fake.calls, 1);
}

TEST_F(Watch, a_shutdown_ends_it_in_the_middle_of_an_interval) {
  std::thread stopper;
  const Refusal refusal = refusal_of([&] {
    client.watch(60, [&](const CoordinatorStatus&) {
      stopper = std::thread([&] { server.shut_down(); });
      return true;
    });
  });
  stopper.join();
  EXPECT_EQ(refusal.fault, CoordinatorFault::kUnreachable);
  EXPECT_THAT(refusal.words, HasSubstr("shutting down"));
}

TEST_F(Watch, cancel_ends_it_from_another_thread) {
  std::thread stopper;
  const Refusal refusal = refusal_of([&] {
    client.watch(60, [&](const CoordinatorStatus&) {
      stopper = std::thread([&] { client.cancel(); });
      return true;
    });
  });
  stopper.join();
  EXPECT_EQ(refusal.fault, CoordinatorFault::kUnreachable);
  EXPECT_THAT(refusal.words, HasSubstr("cancelled"));
}

TEST_F(Watch, a_coordinator_that_falls_silent_ends_it_though_the_connection_stands) {
  fake.work = [this] {
    if (fake.calls == 2) gate.pass();
  };
  int taken = 0;
  const Refusal refusal = refusal_of([&] {
    client.watch(0.2, [&](const CoordinatorStatus&) {
      ++taken;
      return true;
    });
  });
  gate.open();
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(refusal.fault, CoordinatorFault::kUnreachable);
  EXPECT_THAT(refusal.words, HasSubstr("did not answer in time"));
}

TEST_F(Watch, an_interval_out_of_bounds_is_refused) {
  for (const double seconds : {0.0, 0.1, 61.0}) {
    const Refusal refusal =
        refusal_of([&] { client.watch(seconds, [](const CoordinatorStatus&) { return false; }); });
    EXPECT_EQ(refusal.fault, CoordinatorFault::kInvalid);
    EXPECT_THAT(refusal.words, HasSubstr("0.2 to 60"));
  }
}

TEST_F(Watch, what_the_coordinator_refuses_and_what_the_caller_throws_ends_it) {
  EXPECT_THROW(client.watch(0.2, [](const CoordinatorStatus&) -> bool { throw 7; }), int);
  fake.work = [] { throw CoordinatorError(CoordinatorFault::kInvalid, "not today"); };
  const Refusal refusal =
      refusal_of([&] { client.watch(0.2, [](const CoordinatorStatus&) { return true; }); });
  EXPECT_THAT(refusal.words, HasSubstr("not today"));
}

TEST_F(Watch, sixteen_may_watch_and_the_next_one_is_refused_until_one_leaves) {
  std::vector<std::unique_ptr<CoordinatorClient>> clients;
  std::vector<std::thread> watchers;
  std::atomic<int> watching = 0;
  for (int i = 0; i < 16; ++i) {
    clients.push_back(
        std::make_unique<CoordinatorClient>(loopback(server.port()), ClientCredentials{}));
    watchers.emplace_back([&, i] {
      bool is_first = true;
      refusal_of([&] {
        clients[static_cast<std::size_t>(i)]->watch(60, [&](const CoordinatorStatus&) {
          if (is_first) ++watching;
          is_first = false;
          return true;
        });
      });
    });
  }
  while (watching < 16) std::this_thread::yield();
  const auto watch_once = [&] { client.watch(60, [](const CoordinatorStatus&) { return false; }); };
  const Refusal refusal = refusal_of(watch_once);
  EXPECT_EQ(refusal.fault, CoordinatorFault::kInvalid);
  EXPECT_THAT(refusal.words, AllOf(HasSubstr("Watch"), HasSubstr("16")));
  clients.front()->cancel();
  EXPECT_TRUE(succeeds_within(kPatienceSeconds, watch_once));
  server.shut_down();
  for (std::thread& watcher : watchers) watcher.join();
}

TEST_F(Watch, many_that_come_and_go_while_the_server_ends_leave_nothing_behind) {
  std::vector<std::thread> watchers;
  std::atomic<bool> ends = false;
  for (int i = 0; i < 4; ++i) {
    watchers.emplace_back([&] {
      CoordinatorClient one = new_client();
      int left = 0;
      while (!ends) {
        refusal_of(
            [&] { one.watch(0.2, [&](const CoordinatorStatus&) { return ++left % 3 != 0; }); });
      }
    });
  }
  while (fake.calls < 40) std::this_thread::yield();
  server.shut_down();
  ends = true;
  for (std::thread& watcher : watchers) watcher.join();
}

}  // namespace
}  // namespace hetmoe
