#pragma once

#include <cupti.h>

#include <atomic>
#include <cstdint>
#include <string>

namespace hetmoe::test {

/// What a process did that makes its host wait for a GPU. Threads: any.
struct CountedWaits {
  std::atomic<std::uint64_t> waits{0};  ///< for a stream, an event or a whole device
  std::atomic<std::uint64_t> pageable_copies{
      0};                                     ///< whose end the host waits for, or their staging
  std::atomic<std::uint64_t> allocations{0};  ///< and frees, of the device's and of pinned memory

  /// One record of CUPTI; kinds that do not matter count for nothing.
  void count(const CUpti_Activity& record);
  /// One call of CUDA's driver, by CUPTI's id of it.
  void count_call(CUpti_CallbackId id);

  /// The line that tests/emulation/host_waits_file.cpp writes, too.
  std::string json() const;
};

}  // namespace hetmoe::test
