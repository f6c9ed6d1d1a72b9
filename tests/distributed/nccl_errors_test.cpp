// What fails, and that nobody waits for it for ever.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "core/gpu/device_error.h"
#include "cuda_runtime.h"
#include "nccl.h"
#include "tests/distributed/nccl_world.h"
#include "tests/emulation/nccl.h"
#include "tests/emulation/streams.h"
#include "tests/support/forwarding_communicator.h"

namespace hetmoe::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr double kShortSeconds = 0.5;
constexpr double kLongSeconds = 20;  // for an error that must come by itself

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// One float of every rank to every rank.
class Exchange {
 public:
  explicit Exchange(NcclWorld& world)
      : world_(world),
        counts_(static_cast<std::size_t>(world.group().size()), 1),
        send_(world.placed(), std::vector<float>(counts_.size(), 1.0F)),
        receive_(world.placed(), std::vector<float>(counts_.size())) {}
  Pending start() {
    return world_.group().all_to_all_v(send_.buffer(), counts_, receive_.buffer(), counts_);
  }

 private:
  NcclWorld& world_;
  std::vector<std::int64_t> counts_;
  Placed<float> send_;
  Placed<float> receive_;
};

double seconds_of(const std::function<void()>& call) {
  const auto begin = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

class NcclErrors : public testing::Test {
 protected:
  void SetUp() override {
    if (test_world().size() == 1) GTEST_SKIP() << "needs two ranks";
  }
  void TearDown() override { test_world().barrier(); }

  static bool is_last() { return test_world().rank() == test_world().size() - 1; }
  /// " on rank 1 of 3"
  static std::string place() {
    return " on rank " + std::to_string(test_world().rank()) + " of " +
           std::to_string(test_world().size());
  }
  const emulation::ObservedNccl before_ = emulation::observed_nccl();
};

TEST_F(NcclErrors, a_call_that_fails_is_told_with_its_operation_and_fails_the_group) {
  for (const char* call :
       {"ncclGroupStart", "ncclSend", "ncclRecv", "ncclGroupEnd", "ncclCommGetAsyncError"}) {
    const int aborted = emulation::observed_nccl().aborted;
    NcclWorld world({.timeout_seconds = kLongSeconds});
    Exchange exchange(world);
    emulation::fail_next(call, ncclSystemError);
    const std::string error = error_of([&] { exchange.start().wait(); });
    EXPECT_THAT(error, AllOf(HasSubstr("all_to_all_v (operation 1) failed" + place() + ": "),
                             HasSubstr(std::string(call) + ": unhandled system error")));
    EXPECT_EQ(emulation::observed_nccl().aborted, aborted + 1) << "its peers' devices wait";
    EXPECT_EQ(error_of([&] { exchange.start().wait(); }), error) << "and stays failed";
    EXPECT_EQ(error_of([&] { world.group().progress(); }), error);
    EXPECT_EQ(world.groups().asynchronous_error(), error);
  }
  EXPECT_EQ(emulation::observed_nccl().destroyed, before_.destroyed);
}

TEST_F(NcclErrors, collectives_of_nccl_that_fail_are_told) {
  {
    NcclWorld world({.timeout_seconds = kLongSeconds});
    Placed<float> values(world.placed(), {1.0F});
    emulation::fail_next("ncclAllGather", ncclInternalError);
    EXPECT_THAT(
        error_of([&] { world.group().all_reduce(values.buffer(), Reduction::kSum).wait(); }),
        AllOf(HasSubstr("all_reduce (operation 1)"), HasSubstr("ncclAllGather: internal")));
  }
  NcclWorld world({.timeout_seconds = kLongSeconds});
  Placed<float> values(world.placed(), {1.0F});
  emulation::fail_next("ncclBroadcast", ncclInternalError);
  EXPECT_THAT(error_of([&] { world.group().broadcast(values.buffer(), 0).wait(); }),
              AllOf(HasSubstr("broadcast (operation 1)"), HasSubstr("ncclBroadcast: internal")));
}

TEST_F(NcclErrors, a_call_of_cuda_that_fails_in_the_middle_fails_the_group) {
  for (const char* call : {"cudaEventRecord", "cudaStreamWaitEvent", "launch"}) {
    NcclWorld world({.timeout_seconds = kLongSeconds});
    Placed<float> values(world.placed(), {1.0F});
    emulation::fail_next(call, cudaErrorLaunchFailure);
    EXPECT_THROW(world.group().all_reduce(values.buffer(), Reduction::kSum).wait(),
                 gpu::DeviceError)
        << call;
    EXPECT_THAT(error_of([&] { world.group().broadcast(values.buffer(), 0).wait(); }),
                HasSubstr("unspecified launch failure"))
        << call;
  }
  EXPECT_EQ(emulation::observed_nccl().aborted - before_.aborted, 3);
}

TEST_F(NcclErrors, an_asynchronous_error_is_seen_by_wait) {
  NcclWorld world({.timeout_seconds = kLongSeconds});
  Exchange exchange(world);
  Pending pending = exchange.start();
  emulation::fail_asynchronously(ncclRemoteError);
  EXPECT_THAT(error_of([&] { pending.wait(); }),
              AllOf(HasSubstr("all_to_all_v (operation 1) failed" + place()),
                    HasSubstr("asynchronous error: remote process exited")));
  EXPECT_EQ(emulation::observed_nccl().aborted - before_.aborted, 1);
}

TEST_F(NcclErrors, an_asynchronous_error_ends_what_is_asked_by_done) {
  NcclWorld world({.timeout_seconds = kLongSeconds});
  Exchange exchange(world);
  Pending pending = exchange.start();
  emulation::fail_asynchronously(ncclRemoteError);
  EXPECT_TRUE(pending.done());
  EXPECT_THAT(error_of([&] { pending.wait(); }), HasSubstr("remote process exited"));
}

TEST_F(NcclErrors, an_asynchronous_error_is_seen_by_a_watchdog_which_changes_nothing) {
  NcclWorld world({.timeout_seconds = kLongSeconds});
  Exchange exchange(world);
  EXPECT_EQ(world.groups().asynchronous_error(), std::nullopt);
  exchange.start().wait();
  emulation::fail_asynchronously(ncclRemoteError);
  std::string seen;
  std::thread([&] { seen = world.groups().asynchronous_error().value_or("nothing"); }).join();
  EXPECT_THAT(seen, HasSubstr("remote process exited"));
  EXPECT_EQ(emulation::observed_nccl().aborted, before_.aborted);
  EXPECT_THROW(world.group().progress(), CommunicationError);
  EXPECT_EQ(emulation::observed_nccl().aborted - before_.aborted, 1);
}

TEST_F(NcclErrors, compute_that_waits_goes_on_once_the_group_has_failed) {
  NcclWorld world({.timeout_seconds = kLongSeconds});
  Exchange exchange(world);
  Pending first = exchange.start();
  Pending second = exchange.start();
  first.wait();
  emulation::fail_asynchronously(ncclSystemError);
  EXPECT_THROW(second.wait(), CommunicationError);
  EXPECT_LT(seconds_of([&] { gpu::wait_for(world.compute()); }), kLongSeconds / 2);
}

TEST_F(NcclErrors, a_peer_that_never_comes_is_an_error_within_the_timeout) {
  NcclWorld world({.timeout_seconds = kShortSeconds});
  Exchange exchange(world);
  if (!is_last()) {
    Pending pending = exchange.start();
    pending.wait();
    std::string error = "no error";
    const double seconds = seconds_of([&] {
      while (error == "no error") error = error_of([&] { world.group().progress(); });
    });
    EXPECT_EQ(error, "all_to_all_v (operation 1)" + place() + " did not end within 0.5 s");
    EXPECT_GE(seconds, 0.9 * kShortSeconds);
    EXPECT_LT(seconds, kLongSeconds);
  }
  test_world().barrier();
}

TEST_F(NcclErrors, what_nobody_has_asked_for_may_take_its_time) {
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

TEST_F(NcclErrors, a_host_that_waits_for_a_peer_is_freed_by_a_watchdog) {
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
    EXPECT_THAT(seen, HasSubstr("did not end within 0.5 s"));
    EXPECT_THAT(error_of([&] { exchange.start().wait(); }), HasSubstr("the watchdog has seen"));
  }
  test_world().barrier();
}

TEST_F(NcclErrors, a_pending_that_goes_unfinished_waits_no_longer_than_the_timeout) {
  NcclWorld world({.timeout_seconds = kShortSeconds});
  Exchange exchange(world);
  if (!is_last()) {
    EXPECT_LT(seconds_of([&] { const Pending pending = exchange.start(); }), kLongSeconds);
    EXPECT_THAT(error_of([&] { world.group().progress(); }),
                HasSubstr("all_to_all_v (operation 1)" + place() + " did not end within 0.5 s"));
  }
  test_world().barrier();
}

TEST_F(NcclErrors, an_exception_aborts_and_destroys_nothing) {
  try {
    NcclWorld world({.timeout_seconds = kLongSeconds});
    throw InternalError("deliberate");
  } catch (const InternalError&) {
  }
  EXPECT_EQ(emulation::observed_nccl().destroyed, before_.destroyed);
  EXPECT_EQ(emulation::observed_nccl().aborted - before_.aborted, 1);
}

/// A control communicator whose abort the process survives.
class SurvivedAbort final : public ForwardingCommunicator {
 public:
  using ForwardingCommunicator::ForwardingCommunicator;
  [[noreturn]] void abort(const std::string& reason, int) override {
    throw CommunicationError(reason + ", " + std::to_string(emulation::observed_nccl().aborted) +
                             " aborted before");
  }
};

TEST_F(NcclErrors, abort_stops_the_devices_of_all_groups_and_then_the_job) {
  NcclWorld world({.timeout_seconds = kLongSeconds},
                  std::make_unique<SurvivedAbort>(test_world().split(0, test_world().rank())));
  Exchange exchange(world);
  const auto other = world.group().split(0, world.group().rank());
  if (!is_last()) exchange.start().wait();
  const int before = emulation::observed_nccl().aborted;
  EXPECT_EQ(error_of([&] { world.group().abort("deliberate", 4); }),
            "deliberate, " + std::to_string(before + 2) + " aborted before");
  EXPECT_LT(seconds_of([&] { gpu::wait_for(world.compute()); }), kLongSeconds / 2);
  test_world().barrier();
}

TEST_F(NcclErrors, an_id_that_cannot_be_made_is_an_error_on_every_rank) {
  if (test_world().rank() == 0) emulation::fail_next("ncclGetUniqueId", ncclSystemError);
  EXPECT_THAT(error_of([] { NcclWorld world; }),
              HasSubstr("ncclGetUniqueId on rank 0: unhandled system error"));
  EXPECT_EQ(emulation::observed_nccl().created, before_.created);
}

TEST_F(NcclErrors, a_group_that_fails_while_it_is_made_is_aborted) {
  emulation::fail_next("initialisation", ncclSystemError);
  EXPECT_THAT(error_of([] { NcclWorld world; }),
              AllOf(HasSubstr("ncclCommInitRankConfig (operation 0) failed" + place()),
                    HasSubstr("asynchronous error: unhandled system error")));
  EXPECT_EQ(emulation::observed_nccl().aborted - before_.aborted, 1);
}

TEST_F(NcclErrors, ranks_wait_for_one_that_cannot_make_the_group_no_longer_than_the_timeout) {
  if (is_last()) emulation::fail_next("ncclCommInitRankConfig", ncclSystemError);
  const std::string error = error_of([] { NcclWorld world({.timeout_seconds = kShortSeconds}); });
  EXPECT_THAT(error, is_last() ? HasSubstr("ncclCommInitRankConfig: unhandled system error")
                               : HasSubstr("ncclCommInitRankConfig (operation 0)" + place() +
                                           " did not end within 0.5 s"));
}

TEST_F(NcclErrors, memory_that_is_short_at_the_start_is_told) {
  emulation::fail_next("cudaMalloc", cudaErrorMemoryAllocation);
  EXPECT_THROW(NcclWorld({.timeout_seconds = kShortSeconds}), gpu::DeviceMemoryError);
}

TEST_F(NcclErrors, memory_of_the_host_is_refused) {
  NcclWorld world({.timeout_seconds = kLongSeconds});
  std::vector<float> host(4);
  EXPECT_THAT(error_of([&] {
                world.group().broadcast({host.data(), 4, DataType::kFloat32}, 0).wait();
              }),
              HasSubstr("not memory of the device"));
}

}  // namespace
}  // namespace hetmoe::test
