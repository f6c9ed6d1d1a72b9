#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <cstdint>
#include <memory>

namespace hetmoe::test {

/// Counts the bytes of tensors on the host that this thread allocates, and frees, while it lives.
class CountedMemory {
 public:
  CountedMemory() : counter_(std::make_shared<Counter>()), guard_(kKind, counter_) {}

  std::int64_t held() const { return counter_->held; }
  std::int64_t peak() const { return counter_->peak; }
  void forget_peak() { counter_->peak = counter_->held; }

 private:
  static constexpr auto kKind = c10::DebugInfoKind::PROFILER_STATE;

  struct Counter final : c10::MemoryReportingInfoBase {
    std::int64_t held = 0;
    std::int64_t peak = 0;

    void reportMemoryUsage(void*, std::int64_t bytes, std::size_t, std::size_t,
                           c10::Device) override {
      held += bytes;
      peak = std::max(peak, held);
    }
    bool memoryProfilingEnabled() const override { return true; }
  };

  std::shared_ptr<Counter> counter_;
  c10::DebugInfoGuard guard_;
};

}  // namespace hetmoe::test
