#include "core/kernels/gpu/bucket_sort.h"

#include <kernel_language.h>

#include <algorithm>

#include "core/gpu/memory.h"
#include "core/kernels/gpu/exclusive_sum.h"
#include "core/kernels/gpu/packs.h"
#include "core/kernels/gpu/reductions.h"

namespace hetmoe::gpu {
namespace {

/// Consecutive items, one warp each. Histograms, one number per chunk and bucket, are about as long
/// as the keys.
struct Chunks {
  std::int64_t size;
  std::int64_t count;
};
Chunks chunks_of(std::int64_t items, std::int64_t buckets) {
  const std::int64_t size =
      std::clamp<std::int64_t>((buckets + kWarp - 1) / kWarp * kWarp, 256, 4096);
  return {size, (items + size - 1) / size};
}

/// Calls body(item, place) for the items of this block's chunk, 32 at a time: place is next[key]
/// and the equal keys before it among the 32, or -1 for a dropped item. next[key] then moves on by
/// the
/// 32. For a block of one warp.
template <typename Body>
__device__ void for_each_item(const BucketSort& sort, const Chunks& chunks, std::int32_t* next,
                              Body body) {
  const unsigned lane = lane_of_warp();
  const std::int64_t begin = blockIdx.x * chunks.size;
  const std::int64_t end = begin + chunks.size < sort.items ? begin + chunks.size : sort.items;
  for (std::int64_t first = begin; first < end; first += kWarp) {
    const std::int64_t item = first + lane;
    const std::int32_t key = item < end ? sort.key[item] : -1;
    const unsigned alike = __match_any_sync(kWholeWarp, key);
    const int before = __popc(alike & lanes_before(lane));
    if (item < end) body(item, key < 0 ? -1 : next[key] + before);
    __syncwarp();
    if (key >= 0 && before == 0) next[key] += __popc(alike);
    __syncwarp();
  }
}

/// histogram[bucket, chunk] = items of the chunk in the bucket.
__global__ void __launch_bounds__(kWarp)
    histogram_kernel(BucketSort sort, Chunks chunks, std::int32_t* histogram) {
  __shared__ std::int32_t seen[kMostBuckets];
  for (std::int64_t b = threadIdx.x; b < sort.buckets; b += kWarp) seen[b] = 0;
  __syncwarp();
  for_each_item(sort, chunks, seen, [](std::int64_t, std::int32_t) {});
  for (std::int64_t b = threadIdx.x; b < sort.buckets; b += kWarp) {
    histogram[b * chunks.count + blockIdx.x] = seen[b];
  }
}

/// `begins`: sums of the histogram before each number, which is where a chunk's items of a bucket
/// go.
__global__ void __launch_bounds__(kWarp)
    place_kernel(BucketSort sort, Chunks chunks, const std::int32_t* begins) {
  __shared__ std::int32_t next[kMostBuckets];
  for (std::int64_t b = threadIdx.x; b < sort.buckets; b += kWarp) {
    next[b] = begins[b * chunks.count + blockIdx.x];
    if (blockIdx.x == 0) sort.count[b] = begins[(b + 1) * chunks.count] - next[b];
  }
  __syncwarp();
  for_each_item(sort, chunks, next, [&](std::int64_t item, std::int32_t place) {
    sort.position[item] = place;
    if (place >= 0) sort.order[place] = static_cast<std::int32_t>(item);
  });
}

std::int64_t histogram_size(std::int64_t items, std::int64_t buckets) {
  return buckets * chunks_of(items, buckets).count;
}

}  // namespace

std::int64_t bucket_sort_scratch(std::int64_t items, std::int64_t buckets) {
  const std::int64_t size = histogram_size(items, buckets);
  return size + 1 + exclusive_sum_scratch(size);
}

void bucket_sort(const BucketSort& sort, std::int32_t* scratch, Stream stream) {
  if (sort.items == 0) {
    const auto buckets = static_cast<std::size_t>(sort.buckets);
    return fill_with_zeros(sort.count, buckets * sizeof(std::int32_t), stream);
  }
  const Chunks chunks = chunks_of(sort.items, sort.buckets);
  const std::int64_t size = histogram_size(sort.items, sort.buckets);
  const Grid grid{.blocks_x = static_cast<unsigned>(chunks.count), .threads = kWarp};
  launch("bucket_histogram", grid, stream, &histogram_kernel, sort, chunks, scratch);
  exclusive_sum(scratch, size, scratch, scratch + size + 1, stream);
  launch("bucket_place", grid, stream, &place_kernel, sort, chunks, scratch);
}

}  // namespace hetmoe::gpu
