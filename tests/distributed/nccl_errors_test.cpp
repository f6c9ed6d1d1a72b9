// What fails, and that nobody waits for it for ever.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "core/gpu/device_error.h"
#include "cuda_runtime.h"
#include "nccl.h"
#include "tests/distributed/nccl_exchanges.h"
#include "tests/emulation/nccl.h"
#include "tests/emulation/streams.h"
#include "tests/support/forwarding_communicator.h"

namespace hetmoe::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class NcclErrors : public NcclPeers {
 protected:
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
                                           " did not end within " + kShortText));
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
