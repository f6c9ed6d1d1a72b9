// Peers that are late or never come: nobody waits for them for ever.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <thread>

#include "tests/distributed/nccl_exchanges.h"

namespace hetmoe::test {
namespace {

using testing::HasSubstr;

TEST_F(NcclPeers, a_peer_that_never_comes_is_an_error_within_the_timeout) {
  NcclWorld world({.timeout_seconds = kShortSeconds});
  Exchange exchange(world);
  if (!is_last()) {
    Pending pending = exchange.start();
    pending.wait();
    std::string error = "no error";
    const double seconds = seconds_of([&] {
      while (error == "no error") error = error_of([&] { world.group().progress(); });
    });
    EXPECT_EQ(error, "all_to_all_v (operation 1)" + place() + " did not end within " + kShortText);
    EXPECT_GE(seconds, 0.9 * kShortSeconds);
    EXPECT_LT(seconds, kLongSeconds);
  }
  test_world().barrier();
}

TEST_F(NcclPeers, what_nobody_has_asked_for_may_take_its_time) {
  NcclWorld world({.timeout_seconds = kShortSeconds});
  Exchange exchange(world);
  std::this_thread::sleep_for(std::chrono::duration<double>(is_last() ? 2 * kShortSeconds : 0));
  Pending pending = exchange.start();
  if (!is_last()) {
    for (int look = 0; look < 15; ++look) {
      std::this_thread::sleep_for(std::chrono::duration<double>(kShortSeconds / 10));
      ASSERT_EQ(world.groups().asynchronous_error(), std::nullopt);
    }
  }
  test_world().barrier();
  EXPECT_EQ(error_of([&] {
              pending.wait();
              gpu::wait_for(world.compute());
            }),
            "no error");
}

TEST_F(NcclPeers, a_host_that_waits_for_a_peer_is_freed_by_a_watchdog) {
  NcclWorld world({.timeout_seconds = kShortSeconds});
  Exchange exchange(world);
  if (!is_last()) {
    exchange.start().wait();
    std::string seen;
    std::thread watchdog([&] {
      while (seen.empty()) {
        seen = world.groups().asynchronous_error().value_or("");
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
      world.groups().stop("the watchdog has seen: " + seen);
    });
    EXPECT_LT(seconds_of([&] { gpu::wait_for(world.compute()); }), kLongSeconds);
    watchdog.join();
    EXPECT_THAT(seen, HasSubstr(std::string("did not end within ") + kShortText));
    EXPECT_THAT(error_of([&] { exchange.start().wait(); }), HasSubstr("the watchdog has seen"));
  }
  test_world().barrier();
}

TEST_F(NcclPeers, a_pending_that_goes_unfinished_waits_no_longer_than_the_timeout) {
  NcclWorld world({.timeout_seconds = kShortSeconds});
  Exchange exchange(world);
  if (!is_last()) {
    EXPECT_LT(seconds_of([&] { const Pending pending = exchange.start(); }), kLongSeconds);
    EXPECT_THAT(
        error_of([&] { world.group().progress(); }),
        HasSubstr("all_to_all_v (operation 1)" + place() + " did not end within " + kShortText));
  }
  test_world().barrier();
}

}  // namespace
}  // namespace hetmoe::test
