#pragma once

#include <cstdint>

#include "core/gpu/launch.h"

namespace hetmoe::gpu {

constexpr std::int64_t kMostBuckets = 4096;

/// Items sorted by a small key. Stable: items of one bucket keep their order. All pointers are the
/// device's.
struct BucketSort {
  const std::int32_t* key = nullptr;  ///< [items] bucket in [0, buckets); negative: dropped
  std::int64_t items = 0;
  std::int64_t buckets = 0;          ///< 1 to kMostBuckets
  std::int32_t* count = nullptr;     ///< out [buckets], items in each
  std::int32_t* position = nullptr;  ///< out [items], place in the sorted order; -1: dropped
  std::int32_t* order = nullptr;  ///< out [items], item at each place; dropped ones leave the end
                                  ///< as it was
};

/// Integers of `scratch` below.
std::int64_t bucket_sort_scratch(std::int64_t items, std::int64_t buckets);

/// Cost: keys are read twice; one warp per chunk of 256 to 4096 items, more where there are more
/// buckets.
void bucket_sort(const BucketSort& sort, std::int32_t* scratch, Stream stream);

}  // namespace hetmoe::gpu
