#include "tests/gpu/host_waits/counted_waits.h"

namespace hetmoe::test {

void CountedWaits::count(const CUpti_Activity& record) {
  if (record.kind == CUPTI_ACTIVITY_KIND_SYNCHRONIZATION) {
    const auto& wait = reinterpret_cast<const CUpti_ActivitySynchronization2&>(record);
    // A stream that waits for an event holds no host.
    if (wait.type != CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_WAIT_EVENT) ++waits;
  } else if (record.kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
    const auto& copy = reinterpret_cast<const CUpti_ActivityMemcpy6&>(record);
    if (copy.srcKind == CUPTI_ACTIVITY_MEMORY_KIND_PAGEABLE ||
        copy.dstKind == CUPTI_ACTIVITY_MEMORY_KIND_PAGEABLE) {
      ++pageable_copies;
    }
  }
}

void CountedWaits::count_call(CUpti_CallbackId id) {
  switch (id) {
    case CUPTI_DRIVER_TRACE_CBID_cuMemAlloc_v2:
    case CUPTI_DRIVER_TRACE_CBID_cuMemFree_v2:
    case CUPTI_DRIVER_TRACE_CBID_cuMemAllocHost_v2:
    case CUPTI_DRIVER_TRACE_CBID_cuMemHostAlloc:
    case CUPTI_DRIVER_TRACE_CBID_cuMemHostAlloc_v2:
    case CUPTI_DRIVER_TRACE_CBID_cuMemFreeHost:
    case CUPTI_DRIVER_TRACE_CBID_cuMemHostRegister:
    case CUPTI_DRIVER_TRACE_CBID_cuMemHostRegister_v2:
    case CUPTI_DRIVER_TRACE_CBID_cuMemCreate:
      ++allocations;
      break;
    default:
      break;
  }
}

std::string CountedWaits::json() const {
  return "{\"waits\": " + std::to_string(waits) +
         ", \"pageable_copies\": " + std::to_string(pageable_copies) +
         ", \"allocations\": " + std::to_string(allocations) + "}\n";
}

}  // namespace hetmoe::test
