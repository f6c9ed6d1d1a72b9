#pragma once

#include <cstddef>
#include <vector>

#include "core/gpu/memory.h"
#include "core/kernels/gpu/grouped_products.h"
#include "tests/bench/product_calls.h"

namespace hetmoe::bench {

/// The matrices of one call in the device's memory: bf16 random numbers around 0, in rows one after
/// another.
class CallMemory {
 public:
  explicit CallMemory(const ProductCall& call);

  std::vector<gpu::Product> products() const { return products_; }
  /// What the products are added to, or written over.
  void restore_results();
  /// As they lie in memory.
  std::vector<std::byte> results() const;

 private:
  gpu::ProductKind kind_;
  gpu::DeviceMemory a_, b_, c_, first_results_;
  std::vector<gpu::Product> products_;
};

/// The largest difference of results over the largest value; infinite where one is not finite.
double relative_difference(gpu::Number number, const std::vector<std::byte>& values,
                           const std::vector<std::byte>& reference);

/// What is timed against each other.
struct TimedCall {
  gpu::GroupedProducts* products;
  const gpu::ProductKind* kind;
  std::vector<gpu::Product> work;
};

/// Median seconds of one run of each: `rounds` rounds after a warm-up, in each of them every call
/// `repeats` times, timed on the device.
std::vector<double> time_on_device(const std::vector<TimedCall>& calls, int rounds, int repeats);

}  // namespace hetmoe::bench
