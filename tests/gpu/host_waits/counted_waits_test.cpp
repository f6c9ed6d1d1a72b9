#include "tests/gpu/host_waits/counted_waits.h"

#include <gtest/gtest.h>

namespace hetmoe::test {
namespace {

template <typename Record>
const CUpti_Activity& as_activity(const Record& record) {
  return reinterpret_cast<const CUpti_Activity&>(record);
}

CUpti_ActivitySynchronization2 wait_of(CUpti_ActivitySynchronizationType type) {
  CUpti_ActivitySynchronization2 record{};
  record.kind = CUPTI_ACTIVITY_KIND_SYNCHRONIZATION;
  record.type = type;
  return record;
}

CUpti_ActivityMemcpy6 copy_of(CUpti_ActivityMemoryKind from, CUpti_ActivityMemoryKind to) {
  CUpti_ActivityMemcpy6 record{};
  record.kind = CUPTI_ACTIVITY_KIND_MEMCPY;
  record.srcKind = static_cast<std::uint8_t>(from);
  record.dstKind = static_cast<std::uint8_t>(to);
  return record;
}

TEST(CountedWaits, waits_of_the_host_count_and_those_of_a_stream_do_not) {
  CountedWaits counted;
  for (const auto type : {CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_EVENT_SYNCHRONIZE,
                          CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_WAIT_EVENT,
                          CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_SYNCHRONIZE,
                          CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_CONTEXT_SYNCHRONIZE}) {
    counted.count(as_activity(wait_of(type)));
  }
  EXPECT_EQ(counted.waits, 3U);
  EXPECT_EQ(counted.pageable_copies, 0U);
}

TEST(CountedWaits, copies_count_where_one_side_is_pageable) {
  CountedWaits counted;
  const auto device = CUPTI_ACTIVITY_MEMORY_KIND_DEVICE;
  const auto pinned = CUPTI_ACTIVITY_MEMORY_KIND_PINNED;
  const auto pageable = CUPTI_ACTIVITY_MEMORY_KIND_PAGEABLE;
  counted.count(as_activity(copy_of(device, pinned)));
  counted.count(as_activity(copy_of(pinned, device)));
  counted.count(as_activity(copy_of(device, device)));
  EXPECT_EQ(counted.pageable_copies, 0U);
  counted.count(as_activity(copy_of(device, pageable)));
  counted.count(as_activity(copy_of(pageable, device)));
  EXPECT_EQ(counted.pageable_copies, 2U);
  EXPECT_EQ(counted.waits, 0U);
}

TEST(CountedWaits, memory_taken_and_given_back_counts_and_other_calls_do_not) {
  CountedWaits counted;
  counted.count_call(CUPTI_DRIVER_TRACE_CBID_cuMemAlloc_v2);
  counted.count_call(CUPTI_DRIVER_TRACE_CBID_cuMemFree_v2);
  counted.count_call(CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel);
  EXPECT_EQ(counted.json(), "{\"waits\": 0, \"pageable_copies\": 0, \"allocations\": 2}\n");
}

}  // namespace
}  // namespace hetmoe::test
